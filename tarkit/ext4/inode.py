"""Inodes of 256 bytes, and tables of them.

See "ext4 Data Structures and Algorithms", section 4.1, Index Nodes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

from tarkit.ext4.crc32c import crc32c_many
from tarkit.ext4.format import INODE_SIZE, SECTORS_PER_BLOCK
from tarkit.ext4.node import Ext4Node
from tarkit.ext4.xattr import INODE_ROOM
from tarkit.values import dataclass

EXTENTS_FLAG = 0x80000  # i_flags: i_block is the root of an extent tree
INDEX_FLAG = 0x1000  # i_flags: the directory has a hash index

EXTRA_SIZE = 32  # i_extra_isize: bytes in use past the first 128
_LAYOUT = struct.Struct(
    "<"
    "H"  # 0x00 i_mode
    "H"  # 0x02 i_uid
    "I"  # 0x04 i_size_lo
    "I"  # 0x08 i_atime
    "I"  # 0x0C i_ctime
    "I"  # 0x10 i_mtime
    "4x"  # 0x14 i_dtime
    "H"  # 0x18 i_gid
    "H"  # 0x1A i_links_count
    "I"  # 0x1C i_blocks_lo: in sectors of 512 bytes
    "I"  # 0x20 i_flags
    "4x"  # 0x24 l_i_version
    "60s"  # 0x28 i_block
    "4x"  # 0x64 i_generation
    "I"  # 0x68 i_file_acl_lo: the block of extended attributes
    "I"  # 0x6C i_size_high
    "4x"  # 0x70 i_obso_faddr
    "H"  # 0x74 l_i_blocks_high
    "H"  # 0x76 l_i_file_acl_high
    "H"  # 0x78 l_i_uid_high
    "H"  # 0x7A l_i_gid_high
    "4x"  # 0x7C l_i_checksum_lo, l_i_reserved
    "H"  # 0x80 i_extra_isize
    "2x"  # 0x82 i_checksum_hi
    "5I"  # 0x84 i_ctime_extra, i_mtime_extra, i_atime_extra, i_crtime, i_crtime_extra
    "8x"  # 0x98 i_version_hi, i_projid
    "96s"  # 0xA0 extended attributes, up to the end of the inode
)
# Bytes of l_i_checksum_lo and i_checksum_hi, the least significant first.
_CHECKSUM_OFFSETS = (0x7C, 0x7D, 0x82, 0x83)
# Seconds have 32 bits, signed, and two more bits in the *_extra fields count epochs of 2**32 s.
_FIRST_TIME = -(2**31) * 10**9
_LAST_TIME = (2**34 - 2**31) * 10**9 - 1
_REPAIRED_TIMES = range((3 * 2**32 - 2**31) * 10**9, 3 * 2**32 * 10**9)  # see storable_time
_NO_XATTRS = bytes(INODE_ROOM)


@dataclass(slots=True)
class Placement:
    """The fields of an inode that describe its content and the blocks it occupies.

    ``size`` is in bytes, ``blocks`` in file system blocks. ``block`` is ``i_block``.
    """

    size: int = 0
    blocks: int = 0
    flags: int = 0
    block: bytes = b""
    xattrs: bytes = _NO_XATTRS
    xattr_block: int = 0


def pack_inode(node: Ext4Node, placement: Placement, links: int = 1) -> bytes:
    """Return the inode of *node* as stored, without its checksum."""
    time, time_extra = encode_time(node.mtime)
    sectors = placement.blocks * SECTORS_PER_BLOCK
    return _LAYOUT.pack(
        node.mode,
        node.uid & 0xFFFF,
        placement.size & 0xFFFFFFFF,
        time,  # i_atime
        time,  # i_ctime
        time,  # i_mtime
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
        time,  # i_crtime
        time_extra,
        placement.xattrs,
    )


def storable_time(time: int) -> int:
    """Return the storable time nearest to *time*, in nanoseconds since 1970.

    Times before December 1901 or after May 2446 do not fit. Times from April 2310 to April 2378
    fit, but e2fsck mistakes them for times before 1970 written by an old kernel and "repairs" them.
    """
    if time in _REPAIRED_TIMES:
        return _REPAIRED_TIMES.start - 1
    return min(max(time, _FIRST_TIME), _LAST_TIME)


def is_storable(time: int) -> bool:
    """Return True if :func:`storable_time` leaves *time* unchanged."""
    return _FIRST_TIME <= time <= _LAST_TIME and time not in _REPAIRED_TIMES


@lru_cache(maxsize=1024)
def encode_time(time: int) -> tuple[int, int]:
    """Return the seconds of *time* and its ``i_*time_extra``: nanoseconds and epoch."""
    seconds, nanoseconds = divmod(storable_time(time), 10**9)
    epoch = (seconds + 2**31) >> 32
    return seconds & 0xFFFFFFFF, nanoseconds << 2 | epoch


EMPTY_INODE = pack_inode(Ext4Node(mode=0), Placement(), links=0)
"""An unused reserved inode, which still needs a valid checksum."""


def pack_table(inodes: Sequence[bytes], first: int, checksum_seed: int | None) -> bytes:
    """Join *inodes*, numbered from *first*, and fill in their checksums.

    A checksum covers the inode's number, its generation (0) and the inode.
    """
    table = bytearray(b"".join(inodes))
    if checksum_seed is not None:
        numbers = [struct.pack("<II", number, 0) for number in range(first, first + len(inodes))]
        sums = crc32c_many(numbers, inodes, INODE_SIZE, checksum_seed, tail=INODE_ROOM)
        packed = struct.pack(f"<{len(sums)}I", *sums)
        # One strided assignment per byte of the checksum fills in all inodes at once.
        for byte, offset in enumerate(_CHECKSUM_OFFSETS):
            table[offset::INODE_SIZE] = packed[byte::4]
    return bytes(table)
