"""The entries of one layer in runs of siblings, split into whiteouts and entries of the tree."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

from tarkit.rootfs.names import (
    MAX_DEPTH,
    WHITEOUT,
    Parts,
    hidden_name,
    is_private,
    require_visible,
    split,
)
from tarkit.rootfs.table import Part
from tarkit.tar.member import MemberType
from tarkit.tar.sibling_names import Run

_ODD = frozenset((b"", b".", b"..", b"/", b"./", b"../"))  # bases that are not names of entries


class Siblings(NamedTuple):
    """Entries in the directory *parent*, with the rows from *first* on.

    *special* lists the indexes of those that are not plain files. If *parent* is None, look up each
    entry by its row: some are whiteouts or have unusual names.
    """

    first: int
    parent: Parts | None
    names: list[bytes]
    special: list[int]


class LayerEntries:
    """The entries of *part* of a table from row *first* on."""

    def __init__(self, part: Part, first: int, *, strict: bool) -> None:
        self.layer = part.layer
        self._base = part.first
        self._listing = part.listing
        self._start = first - part.first
        self._strict = strict

    def type(self, row: int) -> MemberType:
        """Return the type of the entry *row*."""
        return self._listing.type(row - self._base)

    def linkname(self, row: int) -> bytes:
        """Return the target of the link *row*."""
        return self._listing.traits[self._listing.kinds[row - self._base]].linkname

    def parts(self, row: int) -> Parts | None:
        """Return the path of the entry *row*, or None for a whiteout and for metadata of AUFS."""
        name = self._listing.name(row - self._base)
        parts = split(name, strict=self._strict)
        is_marker = WHITEOUT in name and parts and (is_private(parts) or hidden_name(parts))
        return None if is_marker else parts

    def of_type(self, kind: MemberType) -> Iterator[tuple[int, Parts]]:
        """Yield row and path of every entry of type *kind*, which is not a file."""
        special = self._listing.special
        for position in special[bisect_left(special, self._start) :]:
            if self._listing.type(position) is kind:
                parts = self.parts(self._base + position)
                if parts is not None:
                    yield self._base + position, parts

    def siblings(self) -> Iterator[Siblings]:
        """Yield all entries in order."""
        special = self._listing.special
        at = 0
        for run in self._listing.runs(self._start):
            names = run.bases
            begin = at = bisect_left(special, run.first, at)
            at = bisect_left(special, run.first + len(names), at)
            inside = [position - run.first for position in special[begin:at]]
            yield Siblings(self._base + run.first, self._parent(run, names), names, inside)

    def unusual(self) -> Iterator[tuple[int, Parts, bytes | None]]:
        """Yield row and path of all entries that may be whiteouts, and the name that each hides.

        That name is None for the metadata of AUFS. Raises :class:`MalformedError` for an entry
        below a whiteout.
        """
        for run in self._listing.runs(self._start):
            # Most layers have few or no whiteouts. A name with a NUL is empty here, at the top.
            if run.parent and WHITEOUT not in run.joined and WHITEOUT not in run.parent:
                continue
            for position in range(run.first, run.first + len(run.bases)):
                row, name = self._base + position, self._listing.name(position)
                if WHITEOUT not in name:
                    continue
                parts = split(name, strict=self._strict)
                if parts and is_private(parts):
                    yield row, parts, None
                    continue
                require_visible(parts[:-1])
                hidden = hidden_name(parts)
                if hidden is not None:
                    yield row, parts, hidden

    def _parent(self, run: Run, names: list[bytes]) -> Parts | None:
        parent = run.parent
        if WHITEOUT in parent or WHITEOUT in run.joined or not _ODD.isdisjoint(names):
            return None
        if self._strict and (parent.startswith(b"/") or b".." in parent):
            return None  # the error has the whole name
        parts = split(parent)
        return parts if len(parts) < MAX_DEPTH else None
