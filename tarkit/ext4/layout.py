"""Place the file system's own structures, in an image of a given size or just large enough."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.ext4.extents import BlockMap, extents_of, map_extents
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, blocks_of, ceil_div
from tarkit.ext4.geometry import Geometry, divide, least_blocks_for_inodes
from tarkit.ext4.node import Extent
from tarkit.ext4.options import Ext4Options, Percent
from tarkit.ext4.space import MAX_BLOCKS, Space, no_space
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """The block numbers of all metadata that belongs to no file of the tree.

    ``resize_block`` is the double indirect block of the resize inode, or 0. ``space`` has the
    free blocks.
    """

    geometry: Geometry
    resize_block: int
    journal: Sequence[Extent]
    journal_map: BlockMap
    block_bitmaps: Sequence[int]
    inode_bitmaps: Sequence[int]
    inode_tables: Sequence[int]
    space: Space

    @property
    def free_blocks(self) -> int:
        """The number of free blocks."""
        return self.space.free_blocks(self.geometry.blocks)


def plan_layout(space: Space, needed: int, options: Ext4Options) -> BlockLayout:
    """Choose a size, if *options* do not give one, and place everything.

    *space* contains all contents, and *needed* is the number of inodes in use. Raises
    :class:`NoSpaceError` if the file system does not fit the given size, or the largest size that
    is chosen automatically.
    """
    if isinstance(options.size, int):
        return _fit(space, options.size // BLOCK, needed, options)
    return _grow(space, needed, options)


def _fit(space: Space, blocks: int, needed: int, options: Ext4Options) -> BlockLayout:
    geometry = divide(blocks, needed, space.prefix, options)
    if geometry.last_group_shortfall:
        # Leave a small last group unused, as mke2fs does.
        blocks -= blocks % BLOCKS_PER_GROUP
        geometry = divide(blocks, needed, space.prefix, options)
    if geometry.inodes < max(needed, options.inodes or 0):
        least = least_blocks_for_inodes(needed, options) * BLOCK
        raise no_space(least, blocks * BLOCK)
    layout = _place(space, geometry)
    if layout.space.end > blocks:
        least = _least_fitting(space, layout.space.end, needed, options)
        raise no_space(least * BLOCK, blocks * BLOCK)
    return layout


def _least_fitting(space: Space, blocks: int, needed: int, options: Ext4Options) -> int:
    """Return the least number of blocks, and at least *blocks*, in which everything fits."""
    while True:
        geometry = divide(blocks, needed, space.prefix, options)
        short = geometry.last_group_shortfall or _place(space, geometry).space.end - blocks
        if short <= 0:
            return blocks
        blocks += short


def _grow(space: Space, needed: int, options: Ext4Options) -> BlockLayout:
    blocks = max(space.end, least_blocks_for_inodes(needed, options))
    align = options.align // BLOCK
    # A larger image needs more metadata, so repeat until everything fits. Each step adds only the
    # blocks still missing.
    while True:
        blocks = ceil_div(blocks, align) * align
        if blocks > space.limit:
            raise no_space(blocks * BLOCK, space.limit * BLOCK)
        geometry = divide(blocks, needed, space.prefix, options)
        short = geometry.last_group_shortfall
        if not short:
            layout = _place(space, geometry)
            short = max(layout.space.end - blocks, _missing_blocks(layout, options))
        if short <= 0:
            return layout
        blocks += short


def _missing_blocks(layout: BlockLayout, options: Ext4Options) -> int:
    """Return the number of blocks to add for enough free space; 0 or less if there is enough."""
    if options.size == "min":
        return 0
    blocks, free = layout.geometry.blocks, layout.free_blocks
    if isinstance(options.free, Percent):
        share = options.free.value
        # Solve (free + n) / (blocks + n) >= share / 100 for n.
        return ceil_div(blocks * share - free * 100, 100 - share)
    return blocks_of(options.free) - free


def _place(space: Space, geometry: Geometry) -> BlockLayout:
    trial = space.copy()
    trial.limit = MAX_BLOCKS  # callers compare the end with the size instead
    trial.narrow(geometry.prefix)
    resize_block = trial.allocate(1)[0].start if geometry.reserved_gdt else 0
    journal = extents_of(trial.allocate(geometry.journal_blocks))
    journal_map = map_extents(journal, lambda: trial.allocate(1)[0].start)
    # All bitmaps, then all tables: flex_bg permits them anywhere.
    bitmaps = [
        block for run in trial.allocate(2 * geometry.groups) for block in range(run.start, run.end)
    ]
    tables = [
        trial.allocate_contiguous(geometry.table_blocks).start for _ in range(geometry.groups)
    ]
    return BlockLayout(
        geometry=geometry,
        resize_block=resize_block,
        journal=journal,
        journal_map=journal_map,
        block_bitmaps=bitmaps[: geometry.groups],
        inode_bitmaps=bitmaps[geometry.groups :],
        inode_tables=tables,
        space=trial,
    )
