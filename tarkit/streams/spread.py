"""Many new files, kept from where many old ones have just been deleted.

ext4 makes a file in the block group of its directory, and passes over every inode there that was
freed in the last minutes, one by one, each time anew. Where an image was unpacked and removed
before, 16,000 files took it 3 s instead of 0.4 s.
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
    """Have *directory*'s new subdirectories put far apart, each where there is most room.

    That is how ext2, ext3 and ext4 treat those of their root. Everywhere else nothing happens.
    """
    if sys.platform != "linux":
        return
    import fcntl

    with contextlib.suppress(OSError):
        (flags,) = _FLAGS.unpack(fcntl.ioctl(directory, _GET_FLAGS, bytes(_FLAGS.size)))
        fcntl.ioctl(directory, _SET_FLAGS, _FLAGS.pack(flags | _TOP_DIRECTORY))
