"""The bases of stream readers, and helpers that read and write in chunks."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Protocol

from tarkit.errors import LimitExceededError
from tarkit.streams import CHUNK_SIZE

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Readable(Protocol):
    """The minimal interface of an input stream."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes, or all if *size* is negative; empty only at the end."""
        ...


class _Reader(io.RawIOBase, BinaryIO):
    """A readable stream; a subclass defines ``read``."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into *buffer*; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


class ChunkReader(_Reader):
    """A readable stream over the chunks that :meth:`_chunk` returns; an empty chunk ends it.

    A read that is large enough returns a chunk without a copy. Closing this stream also closes its
    input, *stream*, if that has a ``close`` method.
    """

    def __init__(self, stream: Readable) -> None:
        super().__init__()
        self._stream = stream
        self._pending = b""

    def _chunk(self) -> bytes:
        raise NotImplementedError

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to *size* bytes, or the rest if *size* is negative; empty only at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_SIZE), b""))
        data = self._pending or self._chunk()
        if len(data) <= size:
            self._pending = b""
            return data
        self._pending = data[size:]
        return data[:size]

    def peek(self, size: int) -> bytes:
        """Return the next *size* bytes without consuming them, fewer only at the end."""
        while len(self._pending) < size and (more := self._chunk()):
            self._pending += more
        return self._pending[:size]

    def close(self) -> None:
        """Close this stream and its input."""
        close = getattr(self._stream, "close", None)
        if not self.closed and close is not None:
            close()
        super().close()


class PositionedReader(_Reader):
    """A readable stream of *size* bytes over the pieces that :meth:`_piece` returns."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._at = 0

    def _piece(self, position: int, size: int) -> bytes:
        """Return between one and *size* bytes at *position*."""
        raise NotImplementedError

    def seekable(self) -> bool:
        """Return True if :meth:`seek` works."""
        return True

    def tell(self) -> int:
        """Return the current position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position to *offset* relative to *whence*, as in :meth:`io.IOBase.seek`."""
        if not self.seekable():
            raise io.UnsupportedOperation("seek")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("negative position")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to *size* bytes, or the rest if *size* is negative; empty only at the end."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_SIZE), b""))
        wanted = min(size, self._size - self._at)
        if wanted <= 0:
            return b""
        data = self._piece(self._at, wanted)
        self._at += len(data)
        return data


def chunks_of(stream: Readable, size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Yield the content of *stream* in chunks of at most *size* bytes."""
    while chunk := stream.read(size):
        yield chunk


def drain(stream: Readable) -> None:
    """Read the rest of *stream*, so that its checks run."""
    for _ in chunks_of(stream):
        pass


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of *data* to *file*, in several calls if necessary.

    Raises :class:`BlockingIOError` if a non-blocking file is not ready.
    """
    view = memoryview(data)
    while view:
        written: int | None = file.write(view)  # None: a non-blocking raw file
        if written is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        view = view[written:]


def read_bounded(stream: Readable, limit: int, *, where: str | None = None) -> bytes:
    """Return all of *stream*; raise :class:`LimitExceededError` if it exceeds *limit* bytes."""
    parts, total = [], 0
    # One byte more than allowed is enough to notice an excess.
    while chunk := stream.read(min(CHUNK_SIZE, limit + 1 - total)):
        parts.append(chunk)
        total += len(chunk)
        if total > limit:
            raise LimitExceededError(f"larger than {limit} bytes", limit=limit, where=where)
    return b"".join(parts)
