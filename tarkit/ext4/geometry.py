"""The geometry of an image: sizes of groups, descriptors, inode tables and the journal."""

from __future__ import annotations

from tarkit.ext4.format import (
    BLOCK,
    BLOCKS_PER_GROUP,
    INODES_PER_BLOCK,
    MAX_INODES_PER_GROUP,
    MAX_NARROW_BLOCKS,
    backup_groups,
    ceil_div,
)
from tarkit.ext4.journal import journal_blocks
from tarkit.ext4.options import Ext4Options
from tarkit.values import dataclass

MAX_FOUND_BLOCKS = 2**40 // BLOCK
"""The largest size chosen automatically: 1 TiB. It reserves 65 blocks for descriptors before the
contents; the largest size without ``64bit`` would reserve 1025."""

_BLOCKS_PER_INODE = 4  # an inode for every 16 KiB, as in mke2fs
_MAX_INODES = 2**32 - 1
_GROWTH = 1024  # mke2fs reserves descriptors for an image 1024 times as large
_LEAST_IN_LAST_GROUP = 50  # data blocks; mke2fs drops a smaller last group


@dataclass(frozen=True, slots=True)
class Geometry:
    """The geometry of an image of ``blocks`` blocks.

    ``reserved_gdt`` is the number of blocks reserved for group descriptors, so that the image can
    grow. ``wide`` is the feature ``64bit``: 2^32 blocks or more, and descriptors twice as long.
    """

    blocks: int
    inodes_per_group: int
    reserved_gdt: int
    journal_blocks: int
    wide: bool

    @property
    def groups(self) -> int:
        """The number of block groups."""
        return ceil_div(self.blocks, BLOCKS_PER_GROUP)

    @property
    def inodes(self) -> int:
        """The number of inodes."""
        return self.groups * self.inodes_per_group

    @property
    def table_blocks(self) -> int:
        """The blocks of the inode table of a group."""
        return self.inodes_per_group // INODES_PER_BLOCK

    @property
    def descriptor_size(self) -> int:
        """The bytes of a group descriptor."""
        return descriptor_size(self.wide)

    @property
    def gdt_blocks(self) -> int:
        """The blocks of group descriptors."""
        return ceil_div(self.groups * self.descriptor_size, BLOCK)

    @property
    def prefix(self) -> int:
        """The blocks of superblock and descriptors at the start of a group that has them."""
        return 1 + self.gdt_blocks + self.reserved_gdt

    @property
    def last_group_shortfall(self) -> int:
        """The number of blocks missing from a last group that mke2fs would find too small, or 0."""
        rest = self.blocks % BLOCKS_PER_GROUP
        if self.groups == 1 or not rest:
            return 0
        last = self.groups - 1
        backup = self.prefix if last in backup_groups(self.groups) else 0
        # The group needs room for a backup, if it has one, two bitmaps and the inode table.
        return max(0, backup + 2 + self.table_blocks + _LEAST_IN_LAST_GROUP - rest)


def descriptor_size(wide: bool) -> int:
    """Return the size of a group descriptor in bytes, with or without ``64bit``."""
    return 64 if wide else 32


def can_grow(options: Ext4Options, *, wide: bool) -> bool:
    """Return True if to reserve descriptors for growth: not for read-only or ``64bit`` images.

    The resize inode, which owns them, has 32-bit block numbers.
    """
    return options.profile != "ro" and not wide


def prefix_for(blocks: int, *, grows: bool, wide: bool) -> int:
    """Return the number of blocks to keep for the superblock and descriptors of an image.

    If it *grows* beyond *blocks* blocks, they include descriptors for 1024 times the size, as in
    mke2fs.
    """
    reach = min(blocks * _GROWTH, MAX_NARROW_BLOCKS) if grows else blocks
    return 1 + ceil_div(ceil_div(reach, BLOCKS_PER_GROUP) * descriptor_size(wide), BLOCK)


def inodes_for(blocks: int, needed: int, options: Ext4Options) -> int:
    """Return the number of inodes for an image of *blocks* blocks with *needed* inodes in use.

    If *options* give no number, minimal and read-only images get as many as needed. Others get
    one for every 16 KiB, and at least a tenth more than needed.
    """
    if options.inodes is not None:
        return max(needed, options.inodes)
    if options.profile == "ro" or options.size == "min":
        return needed
    return max(needed + needed // 10, blocks // _BLOCKS_PER_INODE)


def least_blocks_for_inodes(needed: int, options: Ext4Options) -> int:
    """Return the fewest blocks whose groups can have *needed* inodes and those in *options*."""
    groups = ceil_div(max(needed, options.inodes or 0), MAX_INODES_PER_GROUP)
    return (groups - 1) * BLOCKS_PER_GROUP + 1


def divide(blocks: int, needed: int, prefix: int, options: Ext4Options) -> Geometry:
    """Return the geometry of *blocks* blocks with *needed* inodes in use.

    If the image can grow, the blocks of *prefix* after the descriptors are reserved.
    """
    wide = blocks > MAX_NARROW_BLOCKS
    groups = ceil_div(blocks, BLOCKS_PER_GROUP)
    each = ceil_div(inodes_for(blocks, needed, options), groups)
    each = ceil_div(each, INODES_PER_BLOCK) * INODES_PER_BLOCK
    # Inodes are numbered in 32 bits, and inode tables consist of whole blocks.
    most = _MAX_INODES // groups // INODES_PER_BLOCK * INODES_PER_BLOCK
    gdt = ceil_div(groups * descriptor_size(wide), BLOCK)
    return Geometry(
        blocks=blocks,
        inodes_per_group=min(each, most, MAX_INODES_PER_GROUP),
        reserved_gdt=prefix - 1 - gdt if can_grow(options, wide=wide) else 0,
        journal_blocks=0 if options.profile == "ro" else journal_blocks(blocks),
        wide=wide,
    )
