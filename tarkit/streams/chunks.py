"""The base of every reader here: a binary stream made of the chunks a subclass produces."""

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
    """The least a stream has to do: ``read`` up to *size* bytes, and none at its end only."""

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes, all where it is negative; none at the end only."""
        ...


class ChunkReader(io.RawIOBase, BinaryIO):
    """A readable stream over the chunks that :meth:`_chunk` returns; an empty one ends it.

    Chunks are handed on whole where the caller asks for as much, so nothing is copied on the way.
    Closing it closes the *stream* it reads from, where that can be closed.
    """

    def __init__(self, stream: Readable) -> None:
        super().__init__()
        self._stream = stream
        self._pending = b""

    def _chunk(self) -> bytes:
        raise NotImplementedError

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to *size* bytes, perhaps fewer; all that is left where *size* is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_SIZE), b""))
        data = self._pending or self._chunk()
        if len(data) <= size:
            self._pending = b""
            return data
        self._pending = data[size:]
        return data[:size]

    def peek(self, size: int) -> bytes:
        """The next *size* bytes, fewer only at the end, without taking them."""
        while len(self._pending) < size and (more := self._chunk()):
            self._pending += more
        return self._pending[:size]

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill *buffer* from the front; the number of bytes put there."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close this stream and the one it reads from."""
        close = getattr(self._stream, "close", None)
        if not self.closed and close is not None:
            close()
        super().close()


def chunks_of(stream: Readable, size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """What *stream* holds, in pieces of at most *size* bytes."""
    while chunk := stream.read(size):
        yield chunk


def drain(stream: Readable) -> None:
    """Read *stream* to its end, where it is checked."""
    for _ in chunks_of(stream):
        pass


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of *data* to *file*, which may take less at a time.

    Raises :class:`BlockingIOError` where it would take something later only.
    """
    view = memoryview(data)
    while view:
        written: int | None = file.write(view)  # nothing is None where a raw file does not wait
        if written is None:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        view = view[written:]


def read_bounded(stream: Readable, limit: int, *, where: str | None = None) -> bytes:
    """All of *stream*; raises :class:`LimitExceededError` beyond *limit* bytes."""
    parts, total = [], 0
    while chunk := stream.read(min(CHUNK_SIZE, limit + 1 - total)):
        parts.append(chunk)
        total += len(chunk)
        if total > limit:
            raise LimitExceededError(f"larger than {limit} bytes", limit=limit, where=where)
    return b"".join(parts)
