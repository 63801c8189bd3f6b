"""Numbers of the on-disk format that several structures share.

tarkit writes one shape of ext4: 4 KiB blocks, 256-byte inodes, 32,768 blocks a group. They are
what every kernel since 2.6.28 mounts on every architecture, and what ``mkfs.ext4`` chooses.
"""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 4096
SECTORS_PER_BLOCK = BLOCK // 512
BLOCKS_PER_GROUP = 8 * BLOCK

INODE_SIZE = 256
INODES_PER_BLOCK = BLOCK // INODE_SIZE
MAX_INODES_PER_GROUP = 8 * BLOCK

ROOT_INODE = 2
RESIZE_INODE = 7
JOURNAL_INODE = 8
FIRST_INODE = 11

MAX_LINKS = 65_000
MAX_NAME = 255
MAX_NARROW_BLOCKS = 2**32 - 1
"""Blocks a file system without ``64bit`` can number: one short of 16 TiB."""


def ceil_div(number: int, by: int) -> int:
    """*number* / *by*, rounded up."""
    return -(-number // by)


def blocks_of(size: int) -> int:
    """Blocks that hold *size* bytes."""
    return ceil_div(size, BLOCK)


def backup_groups(groups: int) -> Iterator[int]:
    """The groups below *groups* that start with a superblock (``sparse_super``), in order.

    They are 0, 1 and the powers of 3, 5 and 7.
    """
    powers = {base**n for base in (3, 5, 7) for n in range(1, 32)}
    yield from (group for group in sorted({0, 1} | powers) if group < groups)
