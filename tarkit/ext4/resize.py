"""The resize inode, which owns the blocks reserved for group descriptors of a larger image.

It is mapped by indirect blocks ("ext4 Data Structures and Algorithms", section 4.2, The Contents of
inode.i_block, Direct/Indirect Block Addressing): a double indirect block points to the reserved
blocks of the first group, and each of those, as an indirect block, to its copies in backup groups.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Iterator
from itertools import islice

from tarkit.ext4.extents import MapBlock
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, backup_groups
from tarkit.ext4.geometry import Geometry
from tarkit.ext4.inode import Placement, pack_inode
from tarkit.ext4.node import Ext4Node

_ADDRESSES = BLOCK // 4  # block numbers in an indirect block
_DIRECT = 12  # i_block[0] to i_block[11] are direct, i_block[12] is indirect
_DOUBLE_INDIRECT = 13


def resize_inode(geometry: Geometry, block: int, time: int) -> bytes:
    """Return the resize inode, whose double indirect block is *block*."""
    copies = sum(1 for _ in backup_groups(geometry.groups))
    pointers = [0] * 15
    pointers[_DOUBLE_INDIRECT] = block
    placement = Placement(
        # The size spans the whole tree, as in mke2fs; only the reserved blocks are mapped.
        size=(_DIRECT + _ADDRESSES + _ADDRESSES**2) * BLOCK,
        blocks=1 + geometry.reserved_gdt * copies,
        block=struct.pack("<15I", *pointers),
    )
    return pack_inode(Ext4Node(mode=stat.S_IFREG | 0o600, mtime=time), placement)


def resize_blocks(geometry: Geometry, block: int) -> Iterator[MapBlock]:
    """Yield the blocks of the resize inode that are not zero."""
    first = 1 + geometry.gdt_blocks
    backups = [
        group * BLOCKS_PER_GROUP for group in islice(backup_groups(geometry.groups), 1, None)
    ]
    top = [0] * _ADDRESSES
    for reserved in range(first, first + geometry.reserved_gdt):
        # The kernel expects the entry of reserved block n at n - 1, modulo the block's entries.
        top[(reserved - 1) % _ADDRESSES] = reserved
        yield _address_block(reserved, [base + reserved for base in backups])
    yield _address_block(block, top)


def _address_block(physical: int, addresses: list[int]) -> MapBlock:
    return MapBlock(physical, struct.pack(f"<{len(addresses)}I", *addresses).ljust(BLOCK, b"\0"))
