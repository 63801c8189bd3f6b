"""The journal: its size, its inode, and its superblock, the only block that is not zero.

See "ext4 Data Structures and Algorithms", section 3.6, Journal (jbd2), Super Block.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from uuid import UUID

from tarkit.ext4.extents import BlockMap
from tarkit.ext4.format import BLOCK
from tarkit.ext4.inode import EXTENTS_FLAG, Placement, pack_inode
from tarkit.ext4.node import Ext4Node, Extent

_SUPERBLOCK = struct.Struct(
    ">"
    "III"  # 0x00 h_magic, h_blocktype, h_sequence
    "III"  # 0x0C s_blocksize, s_maxlen, s_first
    "III"  # 0x18 s_sequence, s_start (0: nothing to replay), s_errno
    "12x"  # 0x24 s_feature_compat, s_feature_incompat, s_feature_ro_compat
    "16s"  # 0x30 s_uuid
    "I"  # 0x40 s_nr_users
)
_MAGIC = 0xC03B3998  # h_magic
_SUPERBLOCK_V2 = 4  # h_blocktype

# (blocks of the file system, blocks of the journal of any smaller file system)
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
    """Return the journal size that mke2fs chooses for an image of *blocks* blocks, 0 for none."""
    return next((journal for below, journal in _SIZES if blocks < below), _LARGEST)


def journal_inode(journal: Sequence[Extent], tree: BlockMap, time: int) -> bytes:
    """Return the inode of *journal*, whose extent tree is *tree*."""
    blocks = sum(extent.count for extent in journal)
    placement = Placement(blocks * BLOCK, blocks + len(tree.blocks), EXTENTS_FLAG, tree.root)
    return pack_inode(Ext4Node(mode=stat.S_IFREG | 0o600, mtime=time), placement)


def pack_journal_superblock(blocks: int, uuid: UUID) -> bytes:
    """Return the first block of an empty journal of *blocks* blocks."""
    # The log starts in block 1, after this superblock; s_start 0 says that it is empty.
    header = (_MAGIC, _SUPERBLOCK_V2, 0)
    geometry = (BLOCK, blocks, 1)
    state = (1, 0, 0)
    return _SUPERBLOCK.pack(*header, *geometry, *state, uuid.bytes, 1).ljust(BLOCK, b"\0")
