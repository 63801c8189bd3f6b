"""Copy a part of one file to another, inside the kernel if possible."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import BinaryIO

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.uncached import read_at

_MOST = 64 << 20  # bytes of one call, which a signal cannot interrupt


def copy_range(source: int, target: BinaryIO, start: int, size: int) -> None:
    """Append *size* bytes of the open file *source* from *start* on to *target*.

    Stops early at the end of *source*. Raises :class:`OSError`.
    """
    target.flush()
    end = start + size
    if hasattr(os, "copy_file_range"):
        start = _in_kernel(source, target.fileno(), start, end)
        target.seek(0, os.SEEK_END)
    while start < end and (chunk := read_at(source, min(CHUNK_SIZE, end - start), start)):
        target.write(chunk)
        start += len(chunk)


def _in_kernel(source: int, target: int, start: int, end: int) -> int:
    """Copy as much as the system call can; return the position that it reached."""
    with suppress(OSError):  # not on this filesystem, or not between these two
        while start < end:
            copied = os.copy_file_range(source, target, min(_MOST, end - start), start)
            if not copied:
                break
            start += copied
    return start
