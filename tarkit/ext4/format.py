"""Constants of the on-disk format used by several structures.

tarkit always writes 4 KiB blocks, 256-byte inodes and groups of 32,768 blocks, the defaults of
``mkfs.ext4``. Every kernel since 2.6.28 mounts these on every architecture.

Modules of this package cite the kernel's documentation of the format, "ext4 Data Structures and
Algorithms" (Documentation/filesystems/ext4), and use its field names. Integers on disk are
little-endian, except in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 4096
SECTORS_PER_BLOCK = BLOCK // 512
BLOCKS_PER_GROUP = 8 * BLOCK  # a group's bitmap is one block

INODE_SIZE = 256
INODES_PER_BLOCK = BLOCK // INODE_SIZE
MAX_INODES_PER_GROUP = 8 * BLOCK

# Section 2.6, Special Inodes.
ROOT_INODE = 2
RESIZE_INODE = 7
JOURNAL_INODE = 8
FIRST_INODE = 11  # the first inode that is not reserved; always lost+found

MAX_LINKS = 65_000  # EXT4_LINK_MAX
MAX_NAME = 255  # EXT4_NAME_LEN
MAX_NARROW_BLOCKS = 2**32 - 1
"""The most blocks of a file system without ``64bit``: one less than 16 TiB."""


def ceil_div(number: int, by: int) -> int:
    """Return *number* / *by*, rounded up."""
    return -(-number // by)


def blocks_of(size: int) -> int:
    """Return the number of blocks that hold *size* bytes."""
    return ceil_div(size, BLOCK)


def backup_groups(groups: int) -> Iterator[int]:
    """Yield the groups below *groups* that start with a superblock, in order.

    With ``sparse_super``, these are 0, 1 and the powers of 3, 5 and 7.
    """
    powers = {base**n for base in (3, 5, 7) for n in range(1, 32)}
    yield from (group for group in sorted({0, 1} | powers) if group < groups)
