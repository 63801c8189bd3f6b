"""The input of header parsing: bytes in order, with read-ahead and a known position."""

from __future__ import annotations

from typing import Protocol

from tarkit.errors import TruncatedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable
from tarkit.tar import BLOCK_SIZE

_WINDOW = (
    16 << 10
)  # bytes that SeekingTape reads at a time: several small members, or little beside a large one


class Tape:
    """A stream read in blocks, and in views that copy nothing.

    The underlying chunks are never modified, so views stay valid.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._chunk = b""
        self._start = 0
        self._at = 0

    @property
    def position(self) -> int:
        """The offset of the next byte."""
        return self._start + self._at

    def block(self) -> bytes:
        """Return the next 512 bytes, or none at the end or before an incomplete block of zeros.

        Raises :class:`TruncatedError` for any other incomplete block.
        """
        at = self._at
        block = self._chunk[at : at + BLOCK_SIZE]
        if len(block) == BLOCK_SIZE:
            self._at = at + BLOCK_SIZE
            return block
        block = self._up_to(BLOCK_SIZE)
        if 0 < len(block) < BLOCK_SIZE and block.strip(b"\0"):
            raise _truncated(BLOCK_SIZE - len(block))
        return block if len(block) == BLOCK_SIZE else b""

    def take(self, size: int) -> bytes:
        """Return exactly *size* bytes; raises :class:`TruncatedError` if fewer are left."""
        end = self._at + size
        if end <= len(self._chunk):
            data = self._chunk[self._at : end]
            self._at = end
            return data
        data = self._up_to(size)
        if len(data) < size:
            raise _truncated(size - len(data))
        return data

    def piece(self, needed: int) -> memoryview:
        """Return between one and *needed* bytes; raises :class:`TruncatedError` at the end."""
        if self._at == len(self._chunk) and not self._fetch():
            raise _truncated(needed)
        at = self._at
        self._at = min(at + needed, len(self._chunk))
        return memoryview(self._chunk)[at : self._at]

    def advance(self, position: int, least: int) -> bool:
        """Skip to *position*; return False if the tape ends before it.

        Raises :class:`TruncatedError` if it ends even before *least*.
        """
        at = position - self._start
        if at <= len(self._chunk):
            self._at = at
            return True
        return self._advance(position, least)

    def drain(self) -> int:
        """Read to the end; return the number of bytes from the first one that is not zero."""
        meaningful = 0
        while self._at < len(self._chunk) or self._fetch():
            rest = self._chunk[self._at :]
            meaningful += len(rest) if meaningful else len(rest.lstrip(b"\0"))
            self._at = len(self._chunk)
        return meaningful

    def _advance(self, position: int, least: int) -> bool:
        while left := position - self.position:
            if self._at == len(self._chunk) and not self._fetch():
                return _ends_at(self.position, least)
            self.piece(left)
        return True

    def _up_to(self, size: int) -> bytes:
        """Return the next *size* bytes, or fewer if the tape ends."""
        pieces = []
        while size and (self._at < len(self._chunk) or self._fetch()):
            piece = self.piece(size)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _fetch(self) -> bool:
        self._start += len(self._chunk)
        self._at = 0
        self._chunk = self._read()
        return bool(self._chunk)

    def _read(self) -> bytes:
        return self._stream.read(CHUNK_SIZE)


class Seekable(Readable, Protocol):
    """A stream with a settable position."""

    def seek(self, offset: int, /) -> int:
        """Go to *offset*, counted from the start."""
        ...


class SeekingTape(Tape):
    """A tape over the *size* bytes of a seekable *stream* at its start, which skips without reading."""

    def __init__(self, stream: Seekable, size: int) -> None:
        super().__init__(stream)
        self._file = stream
        self._size = size

    def _advance(self, position: int, least: int) -> bool:
        self._start, self._chunk, self._at = min(position, self._size), b"", 0
        self._file.seek(self._start)
        return position == self._start or _ends_at(self._start, least)

    def _read(self) -> bytes:
        return self._file.read(_WINDOW)


def _ends_at(end: int, least: int) -> bool:
    """Return False, or raise :class:`TruncatedError` if *end* is before *least*."""
    if end < least:
        raise _truncated(least - end)
    return False


def _truncated(missing: int) -> TruncatedError:
    return TruncatedError(f"the archive ends {missing} bytes early")
