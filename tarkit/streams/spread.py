"""Many new files, kept from where many old ones have just been deleted.

ext4 makes a file in the block group of its directory, and passes over every inode there that was
freed in the last minutes, one by one, each time anew. Where an image was unpacked and removed
before, 16,000 files took it 3 s instead of 0.4 s.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from pathlib import Path

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h
_TOP_DIRECTORY = 0x20000  # FS_TOPDIR_FL; "T" to chattr(1)
_FLAGS = struct.Struct("=I4x")


def spread_out(directory: Path) -> None:
    """Have *directory*'s new subdirectories put far apart, each where there is most room.

    That is how ext2, ext3 and ext4 treat those of their root. Everywhere else nothing happens.
    """
    if sys.platform != "linux":
        return
    import fcntl

    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            (flags,) = _FLAGS.unpack(fcntl.ioctl(descriptor, _GET_FLAGS, bytes(_FLAGS.size)))
            fcntl.ioctl(descriptor, _SET_FLAGS, _FLAGS.pack(flags | _TOP_DIRECTORY))
    finally:
        os.close(descriptor)
