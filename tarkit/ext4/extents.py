"""The map from a file's blocks to the image's: an extent tree of any depth."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
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
_INDEX = struct.Struct("<IIHH")
_MAP_SIZE = 60


@dataclass(frozen=True, slots=True)
class MapBlock:
    """A block of an extent tree: where it goes and what it holds."""

    physical: int
    data: bytes


@dataclass(frozen=True, slots=True)
class BlockMap:
    """A file's ``i_block`` and the blocks of the tree below it."""

    root: bytes
    blocks: tuple[MapBlock, ...]


class _Entry(NamedTuple):
    logical: int
    packed: bytes


def map_extents(extents: Iterable[Extent], allocate: Callable[[], int]) -> BlockMap:
    """The extent tree of *extents*; *allocate* gives a block for each of its own blocks."""
    level = [_Entry(each.logical, _pack_leaf(each)) for each in _split(extents)]
    blocks: list[MapBlock] = []
    depth = 0
    while len(level) > IN_INODE:
        above = []
        for start in range(0, len(level), IN_BLOCK):
            part = level[start : start + IN_BLOCK]
            block = MapBlock(allocate(), _pack_node(part, IN_BLOCK, depth).ljust(BLOCK, b"\0"))
            blocks.append(block)
            above.append(_Entry(part[0].logical, _pack_index(part[0].logical, block.physical)))
        level = above
        depth += 1
    return BlockMap(_pack_node(level, IN_INODE, depth).ljust(_MAP_SIZE, b"\0"), tuple(blocks))


def fits_inode(extents: Sequence[Extent]) -> bool:
    """Whether the map of *extents* surely needs no block of its own."""
    return len(extents) <= IN_INODE and all(each.count <= MAX_EXTENT_BLOCKS for each in extents)


def extents_of(runs: Iterable[Run], logical: int = 0) -> list[Extent]:
    """A file's blocks from *logical* on, which are *runs* in order."""
    extents = []
    for run in runs:
        extents.append(Extent(logical, run.start, run.count))
        logical += run.count
    return extents


def _split(extents: Iterable[Extent]) -> Iterable[Extent]:
    for extent in extents:
        if extent.count <= MAX_EXTENT_BLOCKS:
            yield extent
            continue
        for done in range(0, extent.count, MAX_EXTENT_BLOCKS):
            count = min(MAX_EXTENT_BLOCKS, extent.count - done)
            yield Extent(extent.logical + done, extent.physical + done, count)


def _pack_leaf(extent: Extent) -> bytes:
    low, high = extent.physical & 0xFFFFFFFF, extent.physical >> 32
    return _LEAF.pack(extent.logical, extent.count, high, low)


def _pack_index(logical: int, physical: int) -> bytes:
    return _INDEX.pack(logical, physical & 0xFFFFFFFF, physical >> 32, 0)


def _pack_node(entries: Sequence[_Entry], room: int, depth: int) -> bytes:
    header = _HEADER.pack(_MAGIC, len(entries), room, depth, 0)
    return header + b"".join([entry.packed for entry in entries])
