"""Write metadata blocks and compute their checksums, in batches.

See "ext4 Data Structures and Algorithms", section 2.8, Checksums.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple

from tarkit.ext4 import directory, extents, xattr
from tarkit.ext4.crc32c import crc32c_many
from tarkit.ext4.format import BLOCK
from tarkit.ext4.image import ImageFile

_BATCH = 1024


class BlockKind(Enum):
    """The offset of the checksum in a kind of block, and the number of bytes it covers."""

    PLAIN = (0, 0)  # no checksum, or already included
    LEAF = (directory.CHECKSUM_OFFSET, BLOCK - 12)  # all but struct ext4_dir_entry_tail
    EXTENTS = (extents.CHECKSUM_OFFSET, extents.CHECKSUM_OFFSET)
    XATTRS = (xattr.CHECKSUM_OFFSET, BLOCK)

    def __init__(self, offset: int, covered: int) -> None:
        self.offset = offset
        self.covered = covered


class _Pending(NamedTuple):
    physical: int
    owner: bytes
    data: bytes


class BlockWriter:
    """Writes metadata blocks in batches, without checksums if *checksum_seed* is None."""

    def __init__(self, image: ImageFile, checksum_seed: int | None) -> None:
        self._image = image
        self._seed = checksum_seed
        self._pending: dict[BlockKind, list[_Pending]] = {kind: [] for kind in BlockKind}
        self._count = 0

    def put(self, kind: BlockKind, physical: int, data: bytes, inode: int = 0) -> None:
        """Write *data*, a block of *inode*, at block *physical*."""
        # Checksums begin with the inode number and generation (0). Blocks of extended attributes
        # use the block number instead, because inodes can share them.
        owner = struct.pack("<Q", physical if kind is BlockKind.XATTRS else inode)
        self._pending[kind].append(_Pending(physical, owner, data))
        self._count += 1
        if self._count >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write pending blocks in ascending order."""
        ready = []
        for kind, pending in self._pending.items():
            ready += [(each.physical, data) for each, data in self._sealed(kind, pending)]
            pending.clear()
        self._count = 0
        for physical, data in sorted(ready):
            self._image.write(physical * BLOCK, data)

    def _sealed(self, kind: BlockKind, pending: list[_Pending]) -> list[tuple[_Pending, bytes]]:
        if kind is BlockKind.PLAIN or self._seed is None or not pending:
            return [(each, each.data) for each in pending]
        checksums = crc32c_many(
            [each.owner for each in pending],
            [each.data for each in pending],
            kind.covered,
            self._seed,
        )
        at = kind.offset
        return [
            (each, each.data[:at] + checksum.to_bytes(4, "little") + each.data[at + 4 :])
            for each, checksum in zip(pending, checksums, strict=True)
        ]
