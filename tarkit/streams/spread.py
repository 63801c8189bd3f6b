"""Place new files away from recently deleted ones on ext filesystems.

ext4 creates a file in the block group of its directory. For each new file, it searches that group
from the start for an inode that was not freed recently. After an image had been unpacked and
removed, creating 16,000 files took 3 s instead of 0.4 s.
"""

from __future__ import annotations

import contextlib
import struct
import sys

from tarkit.streams.directory import Directory

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of linux/fs.h
_TOP_DIRECTORY = 0x20000  # FS_TOPDIR_FL; "T" to chattr(1)
_FLAGS = struct.Struct("=I4x")


def spread_out(directory: Directory) -> None:
    """Spread new subdirectories of *directory* over the block groups with the most space.

    ext2, ext3 and ext4 do this by default only in the root directory. Other filesystems are left
    unchanged.
    """
    if sys.platform != "linux":
        return
    import fcntl

    # Only an optimisation: filesystems without this flag refuse it.
    with contextlib.suppress(OSError):
        (flags,) = _FLAGS.unpack(fcntl.ioctl(directory, _GET_FLAGS, bytes(_FLAGS.size)))
        fcntl.ioctl(directory, _SET_FLAGS, _FLAGS.pack(flags | _TOP_DIRECTORY))
