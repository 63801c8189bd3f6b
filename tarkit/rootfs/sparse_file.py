"""Sparse files of an image at any offset."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO

from tarkit.streams import CHUNK_SIZE
from tarkit.tar.member import Member

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SparseFile(io.RawIOBase, BinaryIO):
    """The logical content of the sparse *member*, whose segments follow each other in *stored*.

    *stored* must be seekable; closing this stream closes it.
    """

    def __init__(self, stored: BinaryIO, member: Member) -> None:
        super().__init__()
        self._stored = stored
        self._size = member.size
        self._segments = [segment for segment in member.sparse or () if segment.length]
        self._starts = [segment.offset for segment in self._segments]
        lengths = (segment.length for segment in self._segments)
        self._stored_at = list(accumulate(lengths, initial=0))
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the current position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position to *offset* relative to *whence*, as in :meth:`io.IOBase.seek`."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to *size* bytes, or the rest if *size* is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_SIZE), b""))
        size = min(size, self._size - self._at, CHUNK_SIZE)
        if size <= 0:
            return b""
        data = self._piece(size)
        self._at += len(data)
        return data

    def _piece(self, size: int) -> bytes:
        """Return up to *size* bytes of the segment or the hole at the current position."""
        number = bisect_right(self._starts, self._at) - 1
        if number >= 0:
            segment = self._segments[number]
            within = self._at - segment.offset
            if within < segment.length:
                self._stored.seek(self._stored_at[number] + within)
                return self._stored.read(min(size, segment.length - within))
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        return bytes(min(size, end - self._at))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into *buffer*; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close this stream and the stored bytes."""
        self._stored.close()
        super().close()
