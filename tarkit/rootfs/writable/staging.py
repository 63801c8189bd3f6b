"""Staged data: a file of new data, and references to data in layers.

An offset names both the archive and the position in it: the upper bits are its number, 0 for the file
of new data. So all staged entries can be in one listing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from tarkit.errors import LimitExceededError, RefusedError, TruncatedError
from tarkit.image.digest import Digest
from tarkit.streams.closeable import Closeable
from tarkit.streams.files import read_only
from tarkit.streams.os_errors import os_errors
from tarkit.streams.uncached import read_at, write_at
from tarkit.tar import padding
from tarkit.tar.data import ArchiveData
from tarkit.tar.member import Member

_SHIFT = 50
_MASK = (1 << _SHIFT) - 1
_MOST = 4096  # layers; offsets must fit 63 bits

OpenLayer = Callable[[Digest], ArchiveData]
"""Opens the plain tar of a layer."""


class Staging(Closeable):
    """The file *path* with new data, created if it is missing, and layers that hold other data."""

    random_access = True

    def __init__(self, path: Path, open_layer: OpenLayer) -> None:
        self._path = path
        self.label = str(path)
        self._open_layer = open_layer
        self._layers: list[Digest] = []
        self._archives: dict[int, ArchiveData] = {}
        with os_errors(path):
            self._is_read_only = read_only(path)
            flags = os.O_RDONLY if self._is_read_only else os.O_RDWR | os.O_CREAT
            self._file = os.open(path, flags | os.O_CLOEXEC, 0o600)
            self._end = os.fstat(self._file).st_size

    @property
    def layers(self) -> tuple[Digest, ...]:
        """The layers that hold data of staged files; they must be kept."""
        return tuple(self._layers)

    def append(self, pieces: Iterable[bytes | memoryview]) -> tuple[int, int]:
        """Write *pieces* to the end of the file; return their offset and total size.

        Raises :class:`RefusedError` if the file is read-only, and :class:`NoSpaceError`.
        """
        if self._is_read_only:
            raise RefusedError("staged changes are read-only here", where=self.label)
        start = end = self._end + padding(self._end)
        with os_errors(self._path):
            for piece in pieces:
                write_at(self._file, [piece], end)
                end += len(piece)
        self._end = end
        return start, end - start

    def require(self, member: Member) -> None:
        """Raise :class:`TruncatedError` if the data of *member* is missing."""
        number, position = member.data_offset >> _SHIFT, member.data_offset & _MASK
        end = _MASK if number or not member.stored else self._end
        if number > len(self._layers) or position + member.stored > end:
            raise TruncatedError(f"ends at byte {self._end}", where=self.label)

    def add_layer(self, diff_id: Digest, archive: ArchiveData | None) -> int:
        """Return the offset that stands for the first byte of the layer *diff_id*.

        If *archive* is None, it is opened when it is read. Raises :class:`LimitExceededError`.
        """
        if diff_id not in self._layers:
            if len(self._layers) == _MOST:
                raise LimitExceededError(
                    f"files of more than {_MOST} layers", limit=_MOST, where=self.label
                )
            self._layers.append(diff_id)
        number = self._layers.index(diff_id) + 1
        if archive is not None:
            self._archives.setdefault(number, archive)
        return number << _SHIFT

    def identity(self, offset: int) -> tuple[object, int]:
        """Return the identity of the content at *offset*."""
        number = offset >> _SHIFT
        return (self._layers[number - 1] if number else self, offset & _MASK)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*, empty only after the end."""
        number, position = offset >> _SHIFT, offset & _MASK
        if number:
            return self._archive(number).read_at(position, size)
        with os_errors(self._path):
            return read_at(self._file, size, position)

    def _archive(self, number: int) -> ArchiveData:
        archive = self._archives.get(number)
        if archive is None:
            archive = self._archives[number] = self._open_layer(self._layers[number - 1])
        return archive

    def sync(self) -> None:
        """Sync the new data to the disk."""
        with os_errors(self._path):
            os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
