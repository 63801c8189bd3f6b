"""The entries of all layers of an image, by row number."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tarkit.tar.listing import Facts, Listing
from tarkit.tar.member import Member, MemberType, Traits


class DataLocation(NamedTuple):
    """The location of a file's data: the layer, 0 at the bottom, and the offset in the uncompressed layer."""

    layer: int
    offset: int


class Part(NamedTuple):
    """The rows from *first* on: the *listing* of *layer*."""

    first: int
    layer: int
    listing: Listing


class Table:
    """All entries, numbered from 0, bottom layer first; the table only grows.

    An inode is the row of the entry that made it. The inode of a directory that layer *n* implies
    but does not list is ``~n``, a negative number; its metadata is *implied*.
    """

    def __init__(self, implied: Member) -> None:
        self.implied = implied
        self._implied = Listing()
        self._implied.append(implied)
        self._parts: list[Part] = []
        self._firsts: list[int] = []
        self._last = Part(0, 0, Listing())
        self._is_shared = False  # true if another table has the last listing, too

    def fork(self) -> Table:
        """Return a table with the same entries; entries added to either do not appear in the other."""
        twin = Table.__new__(Table)
        twin.implied, twin._implied = self.implied, self._implied
        twin._parts, twin._firsts, twin._last = self._parts.copy(), self._firsts.copy(), self._last
        self._is_shared = twin._is_shared = True
        return twin

    def shared_rows(self, other: Table) -> int:
        """Return the number of rows, counted from 0, that are the same entries in *other*."""
        rows = 0
        for number, (mine, theirs) in enumerate(zip(self._parts, other._parts, strict=False)):
            if mine.first != theirs.first or mine.listing is not theirs.listing:
                break
            rows = min(self._end(number), other._end(number))
        return rows

    def _end(self, number: int) -> int:
        if number + 1 < len(self._parts):
            return self._parts[number + 1].first
        return len(self)

    def __len__(self) -> int:
        return self._last.first + len(self._last.listing)

    def add(self, layer: int, members: Iterable[Member]) -> Part:
        """Append *members*, the entries of *layer*; return the part that contains them at its end."""
        if isinstance(members, Listing):
            return self._append(layer, members)
        if not self._parts or self._is_shared or layer != self._last.layer:
            self._append(layer, Listing())
        listing = self._last.listing
        for member in members:
            listing.append(member)
        return self._last

    def _append(self, layer: int, listing: Listing) -> Part:
        self._last = Part(len(self), layer, listing)
        self._is_shared = False
        self._parts.append(self._last)
        self._firsts.append(self._last.first)
        return self._last

    def part(self, row: int) -> Part:
        """Return the part that contains *row*."""
        if row >= self._last.first:
            return self._last
        if row < 0:
            return Part(row, ~row, self._implied)
        return self._parts[bisect_right(self._firsts, row) - 1]

    def type(self, row: int) -> MemberType:
        """Return the type of inode *row*."""
        first, _, listing = self.part(row)
        return listing.type(row - first)

    def facts(self, row: int) -> tuple[int, Facts]:
        """Return the layer of inode *row*, and its metadata."""
        first, layer, listing = self.part(row)
        return layer, listing.facts(row - first)

    def traits(self) -> Iterator[Traits]:
        """Yield the traits of all entries."""
        for part in self._parts:
            yield from part.listing.traits

    def name(self, row: int) -> bytes:
        """Return the name of the entry *row* in its layer."""
        first, _, listing = self.part(row)
        return listing.name(row - first)

    def linkname(self, row: int) -> bytes:
        """Return the target of the link *row*."""
        first, _, listing = self.part(row)
        return listing.traits[listing.kinds[row - first]].linkname

    def member(self, row: int) -> Member:
        """Return the entry *row*, with its name."""
        first, _, listing = self.part(row)
        return listing[row - first]

    def nameless(self, row: int) -> Member:
        """Return the metadata of inode *row* as a member whose name has no meaning."""
        first, _, listing = self.part(row)
        return listing.nameless(row - first)

    def has_data(self, row: int) -> bool:
        """Return True if inode *row* has stored data."""
        first, _, listing = self.part(row)
        return listing.stored(row - first) > 0

    def place(self, row: int) -> DataLocation | None:
        """Return the location of the data of inode *row*, or None if it has none."""
        first, layer, listing = self.part(row)
        if not listing.stored(row - first):
            return None
        return DataLocation(layer, listing.data_offset(row - first))

    def by_layer(self, rows: Iterable[int]) -> Iterator[tuple[int, array[int]]]:
        """Yield each layer that stores data of *rows*, and their rows in it, each once, in order."""
        ordered = array("q", sorted(filter(self.has_data, rows)))
        at = 0
        while at < len(ordered):
            part = self.part(ordered[at])
            end = bisect_left(ordered, part.first + len(part.listing), at)
            yield part.layer, array("q", dict.fromkeys(ordered[at:end]))
            at = end

    def position(self, row: int) -> int:
        """Return the position of the entry *row* in the listing of its layer."""
        return row - self.part(row).first

    def row_at(self, layer: int, position: int) -> int:
        """Return the row of the entry at *position* in the listing of *layer*."""
        return self._of_layer(layer).first + position

    def row_of(self, place: DataLocation) -> int:
        """Return the row of the file whose data is at *place*."""
        part = self._of_layer(place.layer)
        return part.first + part.listing.find_data(place.offset)

    def _of_layer(self, layer: int) -> Part:
        return self._parts[bisect_left(self._parts, layer, key=lambda part: part.layer)]
