"""The journal: how large, its inode, and its one block that is not zero (jbd2's superblock)."""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from uuid import UUID

from tarkit.ext4.extents import BlockMap
from tarkit.ext4.format import BLOCK
from tarkit.ext4.inode import EXTENTS_FLAG, Placement, pack_inode
from tarkit.ext4.node import Ext4Node, Extent

_MAGIC = 0xC03B3998
_SUPERBLOCK_V2 = 4
_SIZES = (
    (2048, 0),
    (32768, 1024),
    (256 * 1024, 4096),
    (512 * 1024, 8192),
    (4096 * 1024, 16384),
    (8192 * 1024, 32768),
    (16384 * 1024, 65536),
    (32768 * 1024, 131072),
)
_LARGEST = 262144


def journal_blocks(blocks: int) -> int:
    """The journal of a file system of *blocks* blocks, as mke2fs sizes it; 0 is too small for one."""
    return next((journal for below, journal in _SIZES if blocks < below), _LARGEST)


def journal_inode(journal: Sequence[Extent], tree: BlockMap, time: int) -> bytes:
    """The inode of *journal*, whose extent tree is *tree*."""
    blocks = sum(extent.count for extent in journal)
    placement = Placement(blocks * BLOCK, blocks + len(tree.blocks), EXTENTS_FLAG, tree.root)
    return pack_inode(Ext4Node(mode=stat.S_IFREG | 0o600, mtime=time), placement)


def pack_journal_superblock(blocks: int, uuid: UUID) -> bytes:
    """The first block of an empty journal of *blocks* blocks."""
    header = struct.pack(">III", _MAGIC, _SUPERBLOCK_V2, 0)
    geometry = struct.pack(">III", BLOCK, blocks, 1)
    state = struct.pack(">III", 1, 0, 0)
    features = struct.pack(">III", 0, 0, 0)
    return (header + geometry + state + features + uuid.bytes + struct.pack(">I", 1)).ljust(
        BLOCK, b"\0"
    )
