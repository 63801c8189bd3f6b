"""The superblock: what the file system is and has, once and in every backup."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tarkit.ext4.crc32c import crc32c
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, FIRST_INODE, INODE_SIZE, JOURNAL_INODE
from tarkit.ext4.geometry import Geometry
from tarkit.ext4.inode import EXTRA_SIZE
from tarkit.ext4.options import Ext4Options

OFFSET = 1024
"""Where the first superblock is; backups are at the start of their group."""

_SIZE = 1024
_FIRST_HALF = struct.Struct("<II4xII4xIIIII4xI2xHHHH2xI8xI4xIHH3I")
_SECOND_HALF = struct.Struct("<16s16s70xH16xI8x4IBBHI4xI68sI4xI2HI16xBB")
_CHECKSUM_SEED = 0x270
_TIMES_HIGH = 0x274
_CHECKSUM = 0x3FC

_MAGIC = 0xEF53
_CLEAN = 1
_CONTINUE_ON_ERROR = 1
_NEVER = 0xFFFF
_DYNAMIC_REVISION = 1
_LOG_BLOCK = 2
_HALF_MD4 = 1
_UNSIGNED_HASH = 2
_BACKS_UP_JOURNAL = 1
_XATTR_AND_ACL = 0x0C
_LOG_GROUPS_PER_FLEX = 4
_CRC32C = 1

_HAS_JOURNAL, _EXT_ATTR, _RESIZE_INODE, _DIR_INDEX = 0x4, 0x8, 0x10, 0x20
_FILETYPE, _EXTENTS, _64BIT, _FLEX_BG, _CSUM_SEED = 0x2, 0x40, 0x80, 0x200, 0x2000
_SPARSE_SUPER, _LARGE_FILE, _HUGE_FILE, _DIR_NLINK = 0x1, 0x2, 0x8, 0x20
_EXTRA_ISIZE, _METADATA_CSUM = 0x40, 0x400


@dataclass(frozen=True, slots=True)
class Superblock:
    """One file system's superblock; ``journal_map`` is the root of the journal's extent tree."""

    options: Ext4Options
    geometry: Geometry
    free_blocks: int
    free_inodes: int
    journal_map: bytes

    def pack(self, group: int) -> bytes:
        """The 1024 bytes that belong at the start of *group*."""
        block = bytearray((self._first_half(group) + self._second_half()).ljust(_SIZE, b"\0"))
        late = self.options.time >> 32
        block[_TIMES_HIGH : _TIMES_HIGH + 4] = bytes([late, 0, late, late])
        seed = checksum_seed(self.options)
        if seed is not None:
            block[_CHECKSUM_SEED : _CHECKSUM_SEED + 4] = seed.to_bytes(4, "little")
            checksum = crc32c(bytes(block[:_CHECKSUM]))
            block[_CHECKSUM:] = checksum.to_bytes(4, "little")
        return bytes(block)

    def _first_half(self, group: int) -> bytes:
        geometry = self.geometry
        now = self.options.time & 0xFFFFFFFF
        return _FIRST_HALF.pack(
            geometry.inodes,
            geometry.blocks & 0xFFFFFFFF,
            self.free_blocks & 0xFFFFFFFF,
            self.free_inodes,
            _LOG_BLOCK,
            _LOG_BLOCK,
            BLOCKS_PER_GROUP,
            BLOCKS_PER_GROUP,
            geometry.inodes_per_group,
            now,
            _NEVER,
            _MAGIC,
            _CLEAN,
            _CONTINUE_ON_ERROR,
            now,
            _DYNAMIC_REVISION,
            FIRST_INODE,
            INODE_SIZE,
            group & 0xFFFF,
            *self._features(),
        )

    def _second_half(self) -> bytes:
        options, geometry = self.options, self.geometry
        return _SECOND_HALF.pack(
            options.volume_uuid.bytes,
            options.label.encode(),
            geometry.reserved_gdt,
            JOURNAL_INODE if geometry.journal_blocks else 0,
            *options.hash_seed,
            _HALF_MD4,
            _BACKS_UP_JOURNAL if geometry.journal_blocks else 0,
            geometry.descriptor_size if geometry.wide else 0,
            _XATTR_AND_ACL,
            options.time & 0xFFFFFFFF,
            self._journal_backup(),
            geometry.blocks >> 32,
            self.free_blocks >> 32,
            EXTRA_SIZE,
            EXTRA_SIZE,
            _UNSIGNED_HASH,
            _LOG_GROUPS_PER_FLEX,
            _CRC32C if has_checksums(options) else 0,
        )

    def _journal_backup(self) -> bytes:
        """What the journal's inode says of its blocks and size."""
        blocks = self.geometry.journal_blocks
        return self.journal_map + struct.pack("<4xI", blocks * BLOCK) if blocks else b""

    def _features(self) -> tuple[int, int, int]:
        geometry = self.geometry
        compatible = _EXT_ATTR | _DIR_INDEX
        compatible |= _HAS_JOURNAL if geometry.journal_blocks else 0
        compatible |= _RESIZE_INODE if geometry.reserved_gdt else 0
        incompatible = _FILETYPE | _EXTENTS | _FLEX_BG | (_64BIT if geometry.wide else 0)
        incompatible |= _CSUM_SEED if has_checksums(self.options) else 0
        read_only = _SPARSE_SUPER | _LARGE_FILE | _HUGE_FILE | _DIR_NLINK | _EXTRA_ISIZE
        read_only |= _METADATA_CSUM if has_checksums(self.options) else 0
        return compatible, incompatible, read_only


def has_checksums(options: Ext4Options) -> bool:
    """Whether metadata carries checksums (``metadata_csum``)."""
    return options.profile != "compat"


def checksum_seed(options: Ext4Options) -> int | None:
    """Return the start of every checksum but the superblock's, or None if there are none.

    The superblock keeps it (``metadata_csum_seed``), so it stays when the UUID changes, and none of
    the metadata has to be written again for that.
    """
    return crc32c(options.volume_uuid.bytes) if has_checksums(options) else None
