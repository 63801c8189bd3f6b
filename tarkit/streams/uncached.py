"""Reads and writes at any offset; large writes bypass the page cache if possible.

Data that is used once only evicts useful pages, and allocating pages costs more than copying: on a
virtual machine, writing 390 MB to the disk took 0.25 s, but 1.25 s through the cache. Linux has
supported such writes since 6.14 on most filesystems (``RWF_DONTCACHE``).
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from tarkit.streams import CHUNK_SIZE

Buffer: TypeAlias = bytes | bytearray | memoryview

LEAST = 64 << 10
"""Least size in bytes to bypass the cache: small writes often share a page with the next one."""

_ENOUGH = 4 << 20  # bytes to gather; files written in pieces of 1 MiB took a fifth longer to read
_WORTH_KEEPING = CHUNK_SIZE // 4  # so a view keeps at most four times its size in memory
_MOST_PIECES = 512  # in one call, which every system accepts
_DONTCACHE = 0x80  # RWF_DONTCACHE of linux/fs.h, missing in the os module
_HAS_FLAGS = hasattr(os, "RWF_DSYNC")
_seeking = threading.Lock()


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Return up to *size* bytes from *offset*, empty only at the end; thread-safe."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _seeking:  # Windows has no reads that leave the file's position unchanged
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


def write_at(descriptor: int, pieces: Sequence[Buffer], offset: int) -> None:
    """Write all of *pieces* contiguously at *offset*; thread-safe."""
    total = sum(map(len, pieces))
    done = _write_some(descriptor, pieces, total, offset) if total else 0
    while done < total:  # writes are short if the disk is nearly full
        rest = memoryview(b"".join(pieces))[done:]
        done += _write_some(descriptor, [rest], total - done, offset + done)


def _write_some(descriptor: int, pieces: Sequence[Buffer], size: int, offset: int) -> int:
    if _HAS_FLAGS and size >= LEAST:
        try:
            return os.pwritev(descriptor, pieces, offset, _DONTCACHE)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:  # an older kernel or another filesystem
                raise
    if hasattr(os, "pwritev"):
        return os.pwritev(descriptor, pieces, offset)
    data = b"".join(pieces)
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, data, offset)
    with _seeking:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.write(descriptor, data)


def _is_kept(data: Buffer) -> bool:
    """Return True if to keep *data* without a copy: a large view of immutable bytes.

    A small view would keep a much larger chunk in memory.
    """
    return len(data) >= _WORTH_KEEPING and isinstance(getattr(data, "obj", None), bytes)


class Gathered:
    """Writes the file *descriptor* at any offset, combining adjacent writes; not thread-safe.

    The caller owns *descriptor*, and must call :meth:`flush` at the end. *errors* wraps every
    write. Mutable buffers are copied, so the caller may reuse them immediately.
    """

    def __init__(
        self, descriptor: int, errors: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._descriptor = descriptor
        self._errors = errors
        self._pieces: list[Buffer] = []
        self._start = self._end = 0

    def write(self, offset: int, data: Buffer) -> None:
        """Write *data* at *offset*."""
        if (
            offset != self._end
            or offset - self._start >= _ENOUGH
            or len(self._pieces) == _MOST_PIECES
        ):
            self.flush()
            self._start = offset
        if type(data) is not bytes and not _is_kept(data):
            data = bytes(data)
        self._pieces.append(data)
        self._end = offset + len(data)

    def flush(self) -> None:
        """Write the gathered data."""
        if self._pieces:
            with self._errors():
                write_at(self._descriptor, self._pieces, self._start)
            self._pieces.clear()
        self._start = self._end
