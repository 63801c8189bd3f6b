"""The digest of a large file: holes are not read, and the disk gets it meanwhile."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import BinaryIO, NamedTuple

from tarkit.errors import TruncatedError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.atomic import from_os_error, os_errors
from tarkit.streams.uncached import drop_cached, read_into

_PIECE = 4 << 20  # read at a time: in pieces of 256 KiB the same image took a fifth longer
_BUFFERS = 3
_ZEROS = bytes(CHUNK_SIZE)


def file_digest(file: BinaryIO, where: object) -> Digest:
    """The sha256 of all of *file*, which is called *where* in messages and is read once only."""
    hasher = hashlib.sha256()
    with os_errors(where), closing(_Loader(file.fileno(), str(where))) as loader:
        for data in loader:
            hasher.update(data)
    return Digest("sha256", hasher.hexdigest())


@contextmanager
def flushing(file: BinaryIO, where: object) -> Iterator[None]:
    """Have *file*, which is called *where* in messages, written to the disk while the block runs."""
    failures: list[OSError] = []

    def flush() -> None:
        try:
            os.fsync(file.fileno())
        except OSError as error:  # the system tells of it once, so it must not be lost here
            failures.append(error)

    thread = threading.Thread(target=flush, name="flush")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    for error in failures:
        raise from_os_error(error, where) from error


class _Loader:
    """A file's bytes in order, read by a thread into buffers that are used in turn.

    Holes are not read, and no page stays in the cache. A view holds until the next is asked for.
    """

    def __init__(self, descriptor: int, where: str) -> None:
        self._descriptor = descriptor
        self._where = where
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._loaded: SimpleQueue[_Loaded | BaseException | None] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(_PIECE)))
        self._thread = threading.Thread(target=self._load, name="load", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[bytes | memoryview]:
        while (item := self._loaded.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            for done in range(0, item.zeros, CHUNK_SIZE):
                yield _ZEROS[: item.zeros - done]
            if item.buffer is not None:
                yield item.buffer[: item.size]
                self._free.put(item.buffer)

    def close(self) -> None:
        """Stop the thread."""
        self._free.put(None)
        self._thread.join()

    def _load(self) -> None:
        try:
            size = os.fstat(self._descriptor).st_size
            position = 0
            for start, end in _data(self._descriptor, size):
                self._loaded.put(_Loaded(zeros=start - position))
                for piece in range(start, end, _PIECE):
                    buffer = self._free.get()
                    if buffer is None:  # nobody wants the rest
                        return
                    self._loaded.put(self._piece(buffer, piece, min(end - piece, _PIECE)))
                position = end
            self._loaded.put(_Loaded(zeros=size - position))
            self._loaded.put(None)
        except BaseException as error:  # noqa: BLE001  raised again where the bytes are asked for
            self._loaded.put(error)

    def _piece(self, buffer: memoryview, start: int, size: int) -> _Loaded:
        done = read_into(self._descriptor, buffer[:size], start)
        if done < size:
            raise TruncatedError(f"ends at byte {start + done}", where=self._where)
        drop_cached(self._descriptor, start, start + size)
        return _Loaded(buffer=buffer, size=size)


class _Loaded(NamedTuple):
    """The next bytes of the file: so many zeros, or the first *size* of *buffer*."""

    zeros: int = 0
    buffer: memoryview | None = None
    size: int = 0


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the file has data, as far as the system can tell."""
    if not hasattr(os, "SEEK_DATA"):
        yield 0, size
        return
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
