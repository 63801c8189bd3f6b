"""The map from a file's blocks to the image's: an extent tree of any depth."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tarkit.ext4.format import BLOCK
from tarkit.ext4.node import Extent
from tarkit.ext4.space import Run

MAX_EXTENT_BLOCKS = 32768
IN_INODE = 4
IN_BLOCK = (BLOCK - 12) // 12
CHECKSUM_OFFSET = 12 + 12 * IN_BLOCK

_MAGIC = 0xF30A
_HEADER = struct.Struct("<HHHHI")
_LEAF = struct.Struct("<IHHI")
_POINTER = struct.Struct("<IHH")
_MAP_SIZE = 60


class MapBlock(NamedTuple):
    """A block of an extent tree: where it goes and what it holds."""

    physical: int
    data: bytes


class BlockMap(NamedTuple):
    """A file's ``i_block`` and the blocks of the tree below it."""

    root: bytes
    blocks: tuple[MapBlock, ...]


def map_extents(extents: Iterable[Extent], allocate: Callable[[], int]) -> BlockMap:
    """The extent tree of *extents*; *allocate* gives a block for each of its own blocks."""
    level = [
        _LEAF.pack(each.logical, each.count, each.physical >> 32, each.physical & 0xFFFFFFFF)
        for each in _split(extents)
    ]
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
    """Whether the map of *extents* surely needs no block of its own."""
    return len(extents) <= IN_INODE and len(_split(extents)) <= IN_INODE


def extents_of(runs: Iterable[Run], logical: int = 0) -> list[Extent]:
    """A file's blocks from *logical* on, which are *runs* in order."""
    extents = []
    for run in runs:
        extents.append(Extent(logical, run.start, run.count))
        logical += run.count
    return extents


def _split(extents: Iterable[Extent]) -> list[Extent]:
    """*extents*, cut where they are too long for an entry of the map."""
    parts = []
    for extent in extents:
        while extent.count > MAX_EXTENT_BLOCKS:
            logical, physical, count = extent.logical, extent.physical, MAX_EXTENT_BLOCKS
            parts.append(Extent(logical, physical, count))
            extent = Extent(logical + count, physical + count, extent.count - count)
        parts.append(extent)
    return parts


def _pack_index(below: bytes, physical: int) -> bytes:
    """An entry for the node at *physical*; with the block of the file that the entry *below* begins with."""
    return below[:4] + _POINTER.pack(physical & 0xFFFFFFFF, physical >> 32, 0)


def _pack_node(entries: Sequence[bytes], room: int, depth: int) -> bytes:
    return _HEADER.pack(_MAGIC, len(entries), room, depth, 0) + b"".join(entries)
