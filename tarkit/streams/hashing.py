"""Digests of large files, computed while the file is synced or still being written."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from queue import SimpleQueue
from typing import BinaryIO, NamedTuple

from tarkit.errors import TruncatedError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.direct import DirectReader, new_buffer
from tarkit.streams.os_errors import from_os_error, os_errors
from tarkit.streams.threads import start_thread

_PIECE = 8 << 20  # bytes per read; with 2 MiB, direct reads were no faster than cached ones
_BUFFERS = 3
_ZEROS = bytes(CHUNK_SIZE)


def file_digest(file: BinaryIO, where: object) -> Digest:
    """Return the SHA-256 digest of *file*; errors name it *where*."""
    with closing(FileDigest(file, where)) as digest:
        return digest.finish()


class FileDigest:
    """Computes the SHA-256 digest of *file* on a thread; errors name it *where*.

    The computation can start while later parts of the file are still being written.
    """

    def __init__(self, file: BinaryIO, where: object) -> None:
        self._descriptor = file.fileno()
        self._where = where
        self._hasher = hashlib.sha256()
        self._failure: BaseException | None = None
        self._loader = _Loader(self._descriptor, str(where))
        # Stop the loader if the second thread cannot start.
        with ExitStack() as stack:
            stack.callback(self._loader.close)
            self._thread = start_thread(self._hash, "hash")
            stack.pop_all()

    def begin(self, settled: int) -> None:
        """Hash the first *settled* bytes, which must not change from now on."""
        self._loader.load_to(settled)

    def finish(self) -> Digest:
        """Return the digest of the whole file, which must not change from now on."""
        with os_errors(self._where):
            self._loader.load_to(os.fstat(self._descriptor).st_size)
            self._loader.end()
            self._thread.join()
            if self._failure is not None:
                raise self._failure
        return Digest("sha256", self._hasher.hexdigest())

    def _hash(self) -> None:
        try:
            for data in self._loader:
                self._hasher.update(data)
        except BaseException as error:  # noqa: BLE001  raised again by finish()
            self._failure = error

    def close(self) -> None:
        """Stop the threads."""
        self._loader.close()
        self._thread.join()


@contextmanager
def flushing(file: BinaryIO, where: object) -> Iterator[None]:
    """Sync *file* on a thread while the block runs; errors name it *where*."""
    failures: list[OSError] = []

    def flush() -> None:
        try:
            os.fsync(file.fileno())
        except OSError as error:  # the system reports it only once, so keep it
            failures.append(error)

    thread = start_thread(flush, "flush", daemon=False)
    try:
        yield
    finally:
        thread.join()
    for error in failures:
        raise from_os_error(error, where) from error


class _Loader:
    """Iterates over the bytes of a file, which a thread reads into a few reused buffers.

    Holes are not read, and no page stays in the cache. Each view is valid until the next iteration.
    """

    def __init__(self, descriptor: int, where: str) -> None:
        self._descriptor = descriptor
        self._where = where
        self._limits: SimpleQueue[int | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._loaded: SimpleQueue[_Loaded | BaseException | None] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(memoryview(new_buffer(_PIECE)))
        self._thread = start_thread(self._load, "load")
        self._file = DirectReader(descriptor)

    def load_to(self, limit: int) -> None:
        """Read up to byte *limit*."""
        self._limits.put(limit)

    def end(self) -> None:
        """End the iteration after the bytes requested so far."""
        self._limits.put(None)

    def __iter__(self) -> Iterator[bytes | memoryview]:
        while (item := self._loaded.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            for done in range(0, item.zeros, CHUNK_SIZE):
                yield _ZEROS[: item.zeros - done]
            if item.buffer is not None:
                yield item.buffer[: item.size]
                # The consumer is done with the view, so its buffer can be filled again.
                self._free.put(item.buffer)

    def close(self) -> None:
        """Stop the thread and end the iteration."""
        # Wakes the thread, whether it waits for a buffer or for a limit.
        self._free.put(None)
        self.end()
        self._thread.join()
        self._loaded.put(None)
        self._file.close()

    def _load(self) -> None:
        try:
            position = 0
            while (limit := self._limits.get()) is not None:
                for start, end in _data(self._descriptor, position, limit):
                    self._loaded.put(_Loaded(zeros=start - position))
                    for piece in range(start, end, _PIECE):
                        buffer = self._free.get()
                        if buffer is None:  # closed
                            return
                        self._loaded.put(self._piece(buffer, piece, min(end - piece, _PIECE)))
                    position = end
                self._loaded.put(_Loaded(zeros=limit - position))
                position = limit
            self._loaded.put(None)
        except BaseException as error:  # noqa: BLE001  raised again by __iter__()
            self._loaded.put(error)

    def _piece(self, buffer: memoryview, start: int, size: int) -> _Loaded:
        done = self._file.read_into(buffer[:size], start)
        if done < size:
            raise TruncatedError(f"ends at byte {start + done}", where=self._where)
        return _Loaded(buffer=buffer, size=size)


class _Loaded(NamedTuple):
    """The next bytes of the file: *zeros* zero bytes, then the first *size* bytes of *buffer*."""

    zeros: int = 0
    buffer: memoryview | None = None
    size: int = 0


def _data(descriptor: int, position: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each stretch of data between *position* and *limit*."""
    if not hasattr(os, "SEEK_DATA"):
        yield position, limit
        return
    while position < limit:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        if start >= limit:
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, min(position, limit)
