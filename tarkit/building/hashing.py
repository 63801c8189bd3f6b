"""The digest of a large file: holes are not read, and the disk gets it meanwhile."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from tarkit.errors import TruncatedError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.atomic import from_os_error, os_errors
from tarkit.streams.readahead import ReadAhead
from tarkit.streams.uncached import drop_cached, read_at
from tarkit.streams.verify import VerifyingReader

_ZEROS = bytes(CHUNK_SIZE)
_WINDOW = 8 << 20


def file_digest(file: BinaryIO, where: object) -> Digest:
    """The sha256 of all of *file*, which is called *where* in messages and is read once only."""
    with VerifyingReader(ReadAhead(_Content(file.fileno(), where))) as content, os_errors(where):
        content.verify()
        return content.digest


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


class _Content:
    """The bytes of a file on the disk, in chunks: holes are not read, and no page stays in the cache."""

    def __init__(self, descriptor: int, where: object) -> None:
        self._chunks = _content(descriptor, str(where))

    def read(self, size: int = CHUNK_SIZE, /) -> bytes:
        """The next chunk; none at the end."""
        return next(self._chunks, b"")


def _content(descriptor: int, where: str) -> Iterator[bytes]:
    size = os.fstat(descriptor).st_size
    position = passed = 0
    for start, end in _data(descriptor, size):
        yield from _zeros(start - position)
        while start < end:
            chunk = read_at(descriptor, min(CHUNK_SIZE, end - start), start)
            if not chunk:
                raise TruncatedError(f"ends at byte {start}", where=where)
            yield chunk
            start += len(chunk)
            if start - passed >= _WINDOW:
                drop_cached(descriptor, passed, start)
                passed = start
        position = end
    yield from _zeros(size - position)


def _zeros(count: int) -> Iterator[bytes]:
    for done in range(0, count, CHUNK_SIZE):
        yield _ZEROS[: count - done]


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
