"""Store file data in an image, at the same blocks for any source and reading order.

If layers can be read from the top, one pass stores their data and skips files that a layer above
is known to hide. If not, or if the data may not fit, a first pass measures the data: blocks of
zeros become holes, so the size in the image depends on the content. Then the same blocks are
reserved, and a second pass stores the data in any order.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from tarkit.artifacts.contents import ExtentMap
from tarkit.ext4 import Ext4Writer, FileExtents, Region, data_size
from tarkit.rootfs.table import DataLocation, Table
from tarkit.tar.member import Member

_BLOCK = 4096


class Sizes:
    """A sink that measures how much space the data at each place takes up in an image."""

    def __init__(self) -> None:
        self._measured: dict[DataLocation, int] = {}

    def __contains__(self, place: DataLocation | None) -> bool:
        return place in self._measured

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Measure the data of *member*, as a :class:`tarkit.rootfs.passes.Sink`."""
        self._measured[place] = data_size(chunks, member.size, regions_of(member))

    def get(self, place: DataLocation) -> int:
        """Return the measured size of the data at *place* in bytes."""
        return self._measured[place]

    def at_most(self, table: Table, rows: Iterable[int]) -> int:
        """Return an upper bound of the bytes of the data of *rows*, exact if all were measured."""
        total = 0
        for row in rows:
            measured = self._measured.get(_place(table, row))
            if measured is None:
                measured = -(-table.nameless(row).stored // _BLOCK) * _BLOCK
            total += measured
        return total


class BlockSink:
    """A sink that stores file data in the image of *writer*, by place in the layers.

    *overlay* is the number of the overlay's layer, the highest one, which is delivered last.
    """

    def __init__(self, writer: Ext4Writer, overlay: int) -> None:
        self._writer = writer
        self._overlay = overlay
        self._reserved: dict[DataLocation, FileExtents] = {}
        self.sizes = Sizes()
        self.contents = ExtentMap()

    def reserve(self, place: DataLocation) -> None:
        """Reserve the blocks of the measured data at *place*."""
        self._reserved[place] = self._writer.reserve(self.sizes.get(place))

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Store the data of *member*, as a :class:`tarkit.rootfs.passes.Sink`."""
        reserved = self._reserved.pop(place, None)
        regions = regions_of(member)
        if reserved is None:
            contents = self._writer.store(chunks, member.size, regions)
        else:
            contents = self._writer.fill(reserved, chunks, member.size, regions)
        self.contents.add(place, contents)

    def settle(self, table: Table, wanted: Iterable[int]) -> Sequence[int]:
        """Discard data that is not of *wanted* rows; return the rows whose data is not stored yet.

        Also reserves blocks for missing data that was measured.
        """
        missing = array("q")
        kept = bytearray(len(table))
        for row in wanted:
            kept[row] = 1
            if _place(table, row) not in self.contents:
                missing.append(row)
        # Sorted, since the order of discards decides the order in which holes are reused.
        for place in self.contents.places():
            row = table.row_of(place)
            if not kept[row]:
                _, (_, size, _, _) = table.facts(row)
                self._writer.discard(self.contents.pop(place, size))
        for place in sorted(self._reserved):
            if not kept[table.row_of(place)]:
                self._writer.discard(self._reserved.pop(place), written=False)
        places = {_place(table, row) for row in missing}
        for place in sorted(places - self._reserved.keys(), key=self._delivery):
            if place in self.sizes:
                self.reserve(place)
        return missing

    def _delivery(self, place: DataLocation) -> tuple[bool, int, int]:
        """Return a sort key for the usual order of delivery: from the top, the overlay last."""
        return place.layer == self._overlay, -place.layer, place.offset


def regions_of(member: Member) -> Sequence[Region] | None:
    """Return the data regions of *member*, or None if it is not sparse."""
    if member.sparse is None:
        return None
    return [Region(segment.offset, segment.length) for segment in member.sparse]


def _place(table: Table, row: int) -> DataLocation:
    """Return the location of the data of *row*, which has data."""
    place = table.place(row)
    assert place is not None
    return place
