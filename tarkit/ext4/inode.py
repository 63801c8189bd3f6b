"""The 256 bytes of an inode, and a table of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tarkit.ext4.crc32c import crc32c_many
from tarkit.ext4.format import INODE_SIZE, SECTORS_PER_BLOCK
from tarkit.ext4.node import Ext4Node
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


@dataclass(slots=True)
class Placement:
    """What an inode says about its content, ``size`` bytes of it, and the blocks that it takes."""

    size: int = 0
    blocks: int = 0
    flags: int = 0
    block: bytes = b""
    xattrs: bytes = _NO_XATTRS
    xattr_block: int = 0


def pack_inode(node: Ext4Node, placement: Placement, links: int = 1) -> bytes:
    """The inode of *node* as stored, still without its checksum."""
    time, time_extra = encode_time(node.mtime)
    sectors = placement.blocks * SECTORS_PER_BLOCK
    return _LAYOUT.pack(
        node.mode,
        node.uid & 0xFFFF,
        placement.size & 0xFFFFFFFF,
        time,  # of access
        time,  # of change
        time,  # of modification
        node.gid & 0xFFFF,
        links,
        sectors & 0xFFFFFFFF,
        placement.flags,
        placement.block,
        placement.xattr_block & 0xFFFFFFFF,
        placement.size >> 32,
        sectors >> 32,
        placement.xattr_block >> 32,
        node.uid >> 16,
        node.gid >> 16,
        EXTRA_SIZE,
        time_extra,
        time_extra,
        time_extra,
        time,  # of creation
        time_extra,
        placement.xattrs,
    )


def storable_time(time: int) -> int:
    """The time nearest to *time*, in nanoseconds since 1970, that an inode should tell.

    That is none before December 1901 or after May 2446, and none from April 2310 to April 2378:
    those e2fsck takes for times before 1970 that an old kernel got wrong, and "repairs".
    """
    if time in _DOUBTED_TIMES:
        return _DOUBTED_TIMES.start - 1
    return min(max(time, _FIRST_TIME), _LAST_TIME)


def is_storable(time: int) -> bool:
    """Whether an inode can tell *time*, and should; see :func:`storable_time`."""
    return _FIRST_TIME <= time <= _LAST_TIME and time not in _DOUBTED_TIMES


@lru_cache(maxsize=1024)
def encode_time(time: int) -> tuple[int, int]:
    """A storable *time* as an inode's two words: seconds; nanoseconds with the epoch."""
    seconds, nanoseconds = divmod(storable_time(time), 10**9)
    epoch = (seconds + 2**31) >> 32
    return seconds & 0xFFFFFFFF, nanoseconds << 2 | epoch


EMPTY_INODE = pack_inode(Ext4Node(mode=0), Placement(), links=0)
"""What the reserved inodes hold that nothing uses: even they need a checksum that is right."""


def pack_table(inodes: Sequence[bytes], first: int, checksum_seed: int | None) -> bytes:
    """*inodes*, numbered from *first* on, one after the other and with their checksums."""
    table = bytearray(b"".join(inodes))
    if checksum_seed is not None:
        numbers = [struct.pack("<II", number, 0) for number in range(first, first + len(inodes))]
        sums = crc32c_many(numbers, inodes, INODE_SIZE, checksum_seed, tail=INODE_ROOM)
        packed = struct.pack(f"<{len(sums)}I", *sums)
        for place, offset in enumerate(_CHECKSUM_PLACES):
            table[offset::INODE_SIZE] = packed[place::4]
    return bytes(table)
