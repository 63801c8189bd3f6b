"""Copy ranges between files inside the kernel: as shared extents if the filesystem can (reflinks).

``copy_file_range`` shares the blocks on btrfs and XFS if both offsets are at the same position in a
block, and otherwise copies them without passing them to this process.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import BinaryIO

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import check
from tarkit.streams.uncached import read_at

_STEP = 32 << 20  # bytes of a call, which no signal interrupts
_UNSUPPORTED = {
    errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY, errno.EXDEV,
}  # fmt: skip


def move_range(source: int, start: int, size: int, target: int, offset: int) -> int:
    """Copy *size* bytes at *start* of *source* to *offset* of *target*; both are file descriptors.

    Returns the number of bytes copied, which is smaller if *source* ends or the system cannot go on.
    """
    done = 0
    while done < size and hasattr(os, "copy_file_range"):
        check()
        try:
            step = os.copy_file_range(
                source, target, min(_STEP, size - done), start + done, offset + done
            )
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            break
        if not step:
            break
        _start_writing(target, offset + done, step)
        done += step
    return done


def copy_range(source: int, target: BinaryIO, start: int, size: int) -> None:
    """Append *size* bytes of the open file *source* from *start* on to *target*, by any means.

    Stops early at the end of *source*. Raises :class:`OSError`.
    """
    target.flush()
    offset = target.seek(0, os.SEEK_END)
    done = move_range(source, start, size, target.fileno(), offset)
    target.seek(offset + done)
    while done < size and (chunk := read_at(source, min(CHUNK_SIZE, size - done), start + done)):
        target.write(chunk)
        done += len(chunk)


def _start_writing(target: int, offset: int, size: int) -> None:
    """Start writing the range to disk while the next one is copied, so that a later sync is short."""
    with contextlib.suppress(OSError, AttributeError):  # a hint
        os.posix_fadvise(target, offset, size, os.POSIX_FADV_DONTNEED)
