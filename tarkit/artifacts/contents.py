"""The stored contents of files, by the place of their data in the layers."""

from __future__ import annotations

from tarkit.ext4 import Extent, FileExtents
from tarkit.ext4.format import blocks_of
from tarkit.rootfs.table import DataLocation

_OFFSET_BITS = 63


class ExtentMap:
    """Maps places to contents. Those of nearly every file are one extent, kept as its first block."""

    def __init__(self) -> None:
        self._stored: dict[int, int | FileExtents] = {}

    def add(self, place: DataLocation, contents: FileExtents) -> None:
        """Add the *contents* of the data at *place*."""
        match contents.extents:
            case (Extent(0, physical, count),) if count == blocks_of(contents.size):
                self._stored[_key(place)] = physical
            case _:
                self._stored[_key(place)] = contents

    def get(self, place: DataLocation, size: int) -> FileExtents:
        """Return the contents of the data at *place*, a file of *size* bytes."""
        return _contents(self._stored[_key(place)], size)

    def __contains__(self, place: DataLocation) -> bool:
        return _key(place) in self._stored

    def __len__(self) -> int:
        return len(self._stored)

    def places(self) -> list[DataLocation]:
        """Return all places, in order."""
        return [
            DataLocation(key >> _OFFSET_BITS, key & (1 << _OFFSET_BITS) - 1)
            for key in sorted(self._stored)
        ]

    def pop(self, place: DataLocation, size: int) -> FileExtents:
        """Remove and return the contents of the data at *place*, a file of *size* bytes."""
        return _contents(self._stored.pop(_key(place)), size)


def _key(place: DataLocation) -> int:
    return place.layer << _OFFSET_BITS | place.offset


def _contents(stored: int | FileExtents, size: int) -> FileExtents:
    if isinstance(stored, int):
        return FileExtents(size, (Extent(0, stored, blocks_of(size)),))
    return stored
