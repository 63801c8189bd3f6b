"""The base of stream readers, and helpers that read and write in chunks."""

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


class ChunkReader(io.RawIOBase, BinaryIO):
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

    def readable(self) -> bool:
        """Return True."""
        return True

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

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into *buffer*; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close this stream and its input."""
        close = getattr(self._stream, "close", None)
        if not self.closed and close is not None:
            close()
        super().close()


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
