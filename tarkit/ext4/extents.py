"""Extent trees, which map blocks of a file to blocks of the image.

See "ext4 Data Structures and Algorithms", section 4.2, The Contents of inode.i_block, Extent Tree.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tarkit.ext4.format import BLOCK
from tarkit.ext4.node import Extent
from tarkit.ext4.space import Run

# struct ext4_extent_header: eh_magic, eh_entries, eh_max, eh_depth, eh_generation
_HEADER = struct.Struct("<HHHHI")
# struct ext4_extent: ee_block, ee_len, ee_start_hi, ee_start_lo
_LEAF = struct.Struct("<IHHI")
# struct ext4_extent_idx after ei_block: ei_leaf_lo, ei_leaf_hi, ei_unused
_POINTER = struct.Struct("<IHH")
_MAGIC = 0xF30A  # eh_magic
_MAP_SIZE = 60  # bytes of i_block

MAX_EXTENT_BLOCKS = 32768  # larger values of ee_len mark extents as uninitialized
IN_INODE = (_MAP_SIZE - _HEADER.size) // _LEAF.size
IN_BLOCK = (BLOCK - _HEADER.size) // _LEAF.size
CHECKSUM_OFFSET = _HEADER.size + _LEAF.size * IN_BLOCK  # struct ext4_extent_tail: eb_checksum


class MapBlock(NamedTuple):
    """A block of an extent tree: its block number in the image and its data."""

    physical: int
    data: bytes


class BlockMap(NamedTuple):
    """The ``i_block`` of a file and the blocks of the tree below it."""

    root: bytes
    blocks: tuple[MapBlock, ...]


def map_extents(extents: Iterable[Extent], allocate: Callable[[], int]) -> BlockMap:
    """Build the extent tree of *extents*; *allocate* returns a block number for each tree block."""
    level = [
        _LEAF.pack(each.logical, each.count, each.physical >> 32, each.physical & 0xFFFFFFFF)
        for each in _split(extents)
    ]
    # From the leaves up, until the entries of a level fit i_block.
    blocks: list[MapBlock] = []
    depth = 0
    while len(level) > IN_INODE:
        above = []
        for start in range(0, len(level), IN_BLOCK):
            part = level[start : start + IN_BLOCK]
            block = MapBlock(allocate(), _pack_node(part, IN_BLOCK, depth).ljust(BLOCK, b"\0"))
            blocks.append(block)
            above.append(_pack_index(part[0], block.physical))
        level = above
        depth += 1
    return BlockMap(_pack_node(level, IN_INODE, depth).ljust(_MAP_SIZE, b"\0"), tuple(blocks))


def fits_inode(extents: Sequence[Extent]) -> bool:
    """Return True if the tree of *extents* fits the inode and needs no block."""
    return len(extents) <= IN_INODE and len(_split(extents)) <= IN_INODE


def extents_of(runs: Iterable[Run], logical: int = 0) -> list[Extent]:
    """Return the extents of a file whose blocks from *logical* on are *runs*, in order."""
    extents = []
    for run in runs:
        extents.append(Extent(logical, run.start, run.count))
        logical += run.count
    return extents


def _split(extents: Iterable[Extent]) -> list[Extent]:
    """Cut extents longer than :data:`MAX_EXTENT_BLOCKS`."""
    parts = []
    for extent in extents:
        # Adjacent runs were joined without regard to this limit.
        while extent.count > MAX_EXTENT_BLOCKS:
            logical, physical, count = extent.logical, extent.physical, MAX_EXTENT_BLOCKS
            parts.append(Extent(logical, physical, count))
            extent = Extent(logical + count, physical + count, extent.count - count)
        parts.append(extent)
    return parts


def _pack_index(below: bytes, physical: int) -> bytes:
    """Return the entry of the node at block *physical*, whose first entry is *below*."""
    first = below[:4]  # ee_block or ei_block, which becomes this entry's ei_block
    return first + _POINTER.pack(physical & 0xFFFFFFFF, physical >> 32, 0)


def _pack_node(entries: Sequence[bytes], room: int, depth: int) -> bytes:
    return _HEADER.pack(_MAGIC, len(entries), room, depth, 0) + b"".join(entries)
