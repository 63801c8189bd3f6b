"""Sparse files of an image at any offset."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import BinaryIO

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import PositionedReader
from tarkit.tar.member import Member


class SparseFile(PositionedReader):
    """The logical content of the sparse *member*, whose segments follow each other in *stored*.

    *stored* must be seekable; closing this stream closes it.
    """

    def __init__(self, stored: BinaryIO, member: Member) -> None:
        super().__init__(member.size)
        self._stored = stored
        self._segments = [segment for segment in member.sparse or () if segment.length]
        self._starts = [segment.offset for segment in self._segments]
        lengths = (segment.length for segment in self._segments)
        self._stored_at = list(accumulate(lengths, initial=0))

    def _piece(self, position: int, size: int) -> bytes:
        """Return bytes of the segment or the hole at *position*; a hole may be very large."""
        size = min(size, CHUNK_SIZE)
        number = bisect_right(self._starts, position) - 1
        if number >= 0:
            segment = self._segments[number]
            within = position - segment.offset
            if within < segment.length:
                self._stored.seek(self._stored_at[number] + within)
                return self._stored.read(min(size, segment.length - within))
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        return bytes(min(size, end - position))

    def close(self) -> None:
        """Close this stream and the stored bytes."""
        self._stored.close()
        super().close()
