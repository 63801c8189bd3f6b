"""Where headers are read from: bytes in order, with read-ahead and a known position."""

from __future__ import annotations

from typing import Protocol

from tarkit.errors import TruncatedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable
from tarkit.tar import BLOCK_SIZE

_WINDOW = 16 << 10  # several small members, or little beside a large one: see SeekingTape


class Tape:
    """A stream, handed out in blocks and in views that copy nothing.

    The chunks underneath are never written to again, so a view stays valid for as long as it is held.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._chunk = b""
        self._start = 0
        self._at = 0

    @property
    def position(self) -> int:
        """Bytes before the next one."""
        return self._start + self._at

    def block(self) -> bytes:
        """The next 512 bytes, or none at the end; raises :class:`TruncatedError` for a part of them."""
        at = self._at
        block = self._chunk[at : at + BLOCK_SIZE]
        if len(block) == BLOCK_SIZE:
            self._at = at + BLOCK_SIZE
            return block
        return self.take(BLOCK_SIZE) if block or self._fetch() else b""

    def take(self, size: int) -> bytes:
        """Exactly *size* bytes, or :class:`TruncatedError`."""
        end = self._at + size
        if end <= len(self._chunk):
            data = self._chunk[self._at : end]
            self._at = end
            return data
        pieces = []
        while size:
            piece = self.piece(size)
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def piece(self, needed: int) -> memoryview:
        """The next of *needed* bytes, one at least; raises :class:`TruncatedError` at the end."""
        if self._at == len(self._chunk) and not self._fetch():
            raise TruncatedError(f"the archive ends {needed} bytes early")
        at = self._at
        self._at = min(at + needed, len(self._chunk))
        return memoryview(self._chunk)[at : self._at]

    def advance(self, position: int) -> None:
        """Pass over everything before *position*, or raise :class:`TruncatedError`."""
        at = position - self._start
        if at <= len(self._chunk):
            self._at = at
        else:
            self._advance(position)

    def drain(self) -> int:
        """Read to the very end; the number of bytes from the first one that is not zero."""
        meaningful = 0
        while self._at < len(self._chunk) or self._fetch():
            rest = self._chunk[self._at :]
            meaningful += len(rest) if meaningful else len(rest.lstrip(b"\0"))
            self._at = len(self._chunk)
        return meaningful

    def _advance(self, position: int) -> None:
        while left := position - self.position:
            self.piece(left)

    def _fetch(self) -> bool:
        self._start += len(self._chunk)
        self._at = 0
        self._chunk = self._read()
        return bool(self._chunk)

    def _read(self) -> bytes:
        return self._stream.read(CHUNK_SIZE)


class Seekable(Readable, Protocol):
    """A stream that can go on anywhere."""

    def seek(self, offset: int, /) -> int:
        """Go to *offset*, counted from the start."""
        ...


class SeekingTape(Tape):
    """The *size* bytes of a stream that can seek, and is at its start: what is skipped is not read."""

    def __init__(self, stream: Seekable, size: int) -> None:
        super().__init__(stream)
        self._file = stream
        self._size = size

    def _advance(self, position: int) -> None:
        if position > self._size:
            raise TruncatedError(f"the archive ends {position - self._size} bytes early")
        self._file.seek(position)
        self._start, self._chunk, self._at = position, b"", 0

    def _read(self) -> bytes:
        return self._file.read(_WINDOW)
