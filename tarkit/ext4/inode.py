"""The 256 bytes of an inode, and a table of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tarkit.ext4.crc32c import crc32c_many
from tarkit.ext4.format import INODE_SIZE
from tarkit.ext4.xattr import INODE_ROOM

EXTENTS_FLAG = 0x80000
INDEX_FLAG = 0x1000

EXTRA_SIZE = 32
_LAYOUT = struct.Struct("<HHIIII4xHHII4x60s4xII4xHHHH4xH2x5I8x96s")
_FIRST_TIME = -(2**31) * 10**9
_LAST_TIME = (2**34 - 2**31) * 10**9 - 1
_DOUBTED_TIMES = range((3 * 2**32 - 2**31) * 10**9, 3 * 2**32 * 10**9)
_CHECKSUM_PLACES = (124, 125, 130, 131)
_NO_XATTRS = bytes(INODE_ROOM)


@dataclass(slots=True, kw_only=True)
class Inode:
    """An inode's fields as the file system means them; times in nanoseconds since 1970."""

    mode: int
    uid: int = 0
    gid: int = 0
    links: int = 1
    size: int = 0
    sectors: int = 0
    flags: int = 0
    block: bytes = b""
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    xattr_block: int = 0
    xattrs: bytes = _NO_XATTRS

    def pack(self) -> bytes:
        """The inode as stored, still without its checksum."""
        mtime, mtime_extra = encode_time(self.mtime)
        atime, atime_extra = encode_time(self.atime)
        ctime, ctime_extra = encode_time(self.ctime)
        return _LAYOUT.pack(
            self.mode,
            self.uid & 0xFFFF,
            self.size & 0xFFFFFFFF,
            atime,
            ctime,
            mtime,
            self.gid & 0xFFFF,
            self.links,
            self.sectors & 0xFFFFFFFF,
            self.flags,
            self.block,
            self.xattr_block & 0xFFFFFFFF,
            self.size >> 32,
            self.sectors >> 32,
            self.xattr_block >> 32,
            self.uid >> 16,
            self.gid >> 16,
            EXTRA_SIZE,
            ctime_extra,
            mtime_extra,
            atime_extra,
            mtime,
            mtime_extra,
            self.xattrs,
        )


def storable_time(time: int) -> int:
    """The time nearest to *time*, in nanoseconds since 1970, that an inode should tell.

    That is none before December 1901 or after May 2446, and none from April 2310 to April 2378:
    those e2fsck takes for times before 1970 that an old kernel got wrong, and "repairs".
    """
    time = min(max(time, _FIRST_TIME), _LAST_TIME)
    return _DOUBTED_TIMES.start - 1 if time in _DOUBTED_TIMES else time


@lru_cache(maxsize=1024)
def encode_time(time: int) -> tuple[int, int]:
    """A storable *time* as an inode's two words: seconds; nanoseconds with the epoch."""
    seconds, nanoseconds = divmod(storable_time(time), 10**9)
    epoch = (seconds + 2**31) >> 32
    return seconds & 0xFFFFFFFF, nanoseconds << 2 | epoch


EMPTY_INODE = Inode(mode=0, links=0).pack()
"""What the reserved inodes hold that nothing uses: even they need a checksum that is right."""


def pack_table(inodes: Sequence[bytes], first: int, checksum_seed: int | None) -> bytes:
    """*inodes*, numbered from *first* on, one after the other and with their checksums."""
    table = bytearray(b"".join(inodes))
    if checksum_seed is not None:
        numbers = b"".join([struct.pack("<II", first + i, 0) for i in range(len(inodes))])
        checksums = crc32c_many(numbers, bytes(table), len(inodes), INODE_SIZE, checksum_seed)
        for place, offset in enumerate(_CHECKSUM_PLACES):
            table[offset::INODE_SIZE] = checksums[place::4]
    return bytes(table)
