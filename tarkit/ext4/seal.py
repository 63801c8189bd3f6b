"""Metadata blocks on their way to the image, given their checksums many at a time."""

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
    """Where a kind of block keeps its checksum, and how many of its bytes that covers."""

    PLAIN = (0, 0)
    LEAF = (directory.CHECKSUM_OFFSET, BLOCK - 12)
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
    """Writes metadata blocks in batches; *checksum_seed* is ``None`` for no checksums."""

    def __init__(self, image: ImageFile, checksum_seed: int | None) -> None:
        self._image = image
        self._seed = checksum_seed
        self._pending: dict[BlockKind, list[_Pending]] = {kind: [] for kind in BlockKind}
        self._count = 0

    def put(self, kind: BlockKind, physical: int, data: bytes, inode: int = 0) -> None:
        """Write *data*, a block that belongs to *inode*, at block *physical*."""
        owner = struct.pack("<Q", physical if kind is BlockKind.XATTRS else inode)
        self._pending[kind].append(_Pending(physical, owner, data))
        self._count += 1
        if self._count >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write all that is waiting, in the order of the image."""
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
