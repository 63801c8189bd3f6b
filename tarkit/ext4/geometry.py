"""How large an image is and how it is divided: groups, descriptors, inodes, journal."""

from __future__ import annotations

from dataclasses import dataclass

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

MAX_FOUND_BLOCKS = 2**40 // BLOCK
"""The largest size that is found rather than asked for: 1 TiB, which keeps 65 blocks for
descriptors in front of the first byte of contents instead of 1025."""

_BLOCKS_PER_INODE = 4
_MAX_INODES = 2**32 - 1
_GROWTH = 1024
_LEAST_IN_LAST_GROUP = 50


@dataclass(frozen=True, slots=True)
class Geometry:
    """The division of an image of ``blocks`` blocks.

    ``wide`` is the feature ``64bit``: more than 2^32 blocks, descriptors twice as long.
    """

    blocks: int
    inodes_per_group: int
    reserved_gdt: int
    journal_blocks: int
    wide: bool

    @property
    def groups(self) -> int:
        """How many block groups there are."""
        return ceil_div(self.blocks, BLOCKS_PER_GROUP)

    @property
    def inodes(self) -> int:
        """How many inodes there are."""
        return self.groups * self.inodes_per_group

    @property
    def table_blocks(self) -> int:
        """Blocks of one group's inode table."""
        return self.inodes_per_group // INODES_PER_BLOCK

    @property
    def descriptor_size(self) -> int:
        """Bytes of one group descriptor."""
        return descriptor_size(self.wide)

    @property
    def gdt_blocks(self) -> int:
        """Blocks of group descriptors."""
        return ceil_div(self.groups * self.descriptor_size, BLOCK)

    @property
    def prefix(self) -> int:
        """Blocks before anything else in a group with a superblock."""
        return 1 + self.gdt_blocks + self.reserved_gdt

    @property
    def last_group_shortfall(self) -> int:
        """Blocks the last group lacks to be worth having; mke2fs has the same rule."""
        rest = self.blocks % BLOCKS_PER_GROUP
        if self.groups == 1 or not rest:
            return 0
        last = self.groups - 1
        backup = self.prefix if last in backup_groups(self.groups) else 0
        return max(0, backup + 2 + self.table_blocks + _LEAST_IN_LAST_GROUP - rest)


def descriptor_size(wide: bool) -> int:
    """Bytes of one group descriptor, with or without ``64bit``."""
    return 64 if wide else 32


def can_grow(options: Ext4Options, *, wide: bool) -> bool:
    """Whether descriptors are reserved: the inode that keeps them has 32-bit block numbers."""
    return options.profile != "ro" and not wide


def prefix_for(blocks: int, *, grows: bool, wide: bool) -> int:
    """Blocks to keep for the superblock and the descriptors of an image of *blocks* blocks.

    If it *grows*, there is room for the descriptors of an image 1024 times the size, as in mke2fs.
    """
    reach = min(blocks * _GROWTH, MAX_NARROW_BLOCKS) if grows else blocks
    return 1 + ceil_div(ceil_div(reach, BLOCKS_PER_GROUP) * descriptor_size(wide), BLOCK)


def inodes_for(blocks: int, needed: int, options: Ext4Options) -> int:
    """How many inodes an image of *blocks* blocks should have when *needed* are used at once.

    Without a number asked for: no more than needed in the smallest images, one for every 16 KiB
    but a tenth to spare in others.
    """
    if options.inodes is not None:
        return max(needed, options.inodes)
    if options.profile == "ro" or options.size == "min":
        return needed
    return max(needed + needed // 10, blocks // _BLOCKS_PER_INODE)


def least_blocks_for_inodes(needed: int, options: Ext4Options) -> int:
    """The fewest blocks whose groups can have the inodes *needed* and asked for."""
    groups = ceil_div(max(needed, options.inodes or 0), MAX_INODES_PER_GROUP)
    return (groups - 1) * BLOCKS_PER_GROUP + 1


def divide(blocks: int, needed: int, prefix: int, options: Ext4Options) -> Geometry:
    """The division of *blocks* blocks where *needed* inodes are used at once.

    Where the image can grow, what is left of *prefix* after the descriptors is reserved.
    """
    wide = blocks > MAX_NARROW_BLOCKS
    groups = ceil_div(blocks, BLOCKS_PER_GROUP)
    each = ceil_div(inodes_for(blocks, needed, options), groups)
    each = ceil_div(each, INODES_PER_BLOCK) * INODES_PER_BLOCK
    most = _MAX_INODES // groups // INODES_PER_BLOCK * INODES_PER_BLOCK
    gdt = ceil_div(groups * descriptor_size(wide), BLOCK)
    return Geometry(
        blocks=blocks,
        inodes_per_group=min(each, most, MAX_INODES_PER_GROUP),
        reserved_gdt=prefix - 1 - gdt if can_grow(options, wide=wide) else 0,
        journal_blocks=0 if options.profile == "ro" else journal_blocks(blocks),
        wide=wide,
    )
