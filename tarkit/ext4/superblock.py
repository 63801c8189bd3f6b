"""The superblock: features, sizes and identity of the file system, with a copy in every backup.

See "ext4 Data Structures and Algorithms", section 3.1, Super Block.
"""

from __future__ import annotations

import struct

from tarkit.ext4.crc32c import crc32c
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, FIRST_INODE, INODE_SIZE, JOURNAL_INODE
from tarkit.ext4.geometry import Geometry
from tarkit.ext4.inode import EXTRA_SIZE
from tarkit.ext4.options import Ext4Options
from tarkit.values import dataclass

OFFSET = 1024
"""Offset of the first superblock in bytes; backups are at the start of their group."""

_SIZE = 1024
_FIRST_HALF = struct.Struct(
    "<"
    "I"  # 0x00 s_inodes_count
    "I"  # 0x04 s_blocks_count_lo
    "4x"  # 0x08 s_r_blocks_count_lo: no blocks are reserved for root
    "I"  # 0x0C s_free_blocks_count_lo
    "I"  # 0x10 s_free_inodes_count
    "4x"  # 0x14 s_first_data_block: 0 for blocks larger than 1 KiB
    "I"  # 0x18 s_log_block_size
    "I"  # 0x1C s_log_cluster_size
    "I"  # 0x20 s_blocks_per_group
    "I"  # 0x24 s_clusters_per_group
    "I"  # 0x28 s_inodes_per_group
    "4x"  # 0x2C s_mtime
    "I"  # 0x30 s_wtime
    "2x"  # 0x34 s_mnt_count
    "H"  # 0x36 s_max_mnt_count
    "H"  # 0x38 s_magic
    "H"  # 0x3A s_state
    "H"  # 0x3C s_errors
    "2x"  # 0x3E s_minor_rev_level
    "I"  # 0x40 s_lastcheck
    "8x"  # 0x44 s_checkinterval, s_creator_os (0: Linux)
    "I"  # 0x4C s_rev_level
    "4x"  # 0x50 s_def_resuid, s_def_resgid
    "I"  # 0x54 s_first_ino
    "H"  # 0x58 s_inode_size
    "H"  # 0x5A s_block_group_nr
    "3I"  # 0x5C s_feature_compat, s_feature_incompat, s_feature_ro_compat
)
_SECOND_HALF = struct.Struct(
    "<"
    "16s"  # 0x68 s_uuid
    "16s"  # 0x78 s_volume_name
    "70x"  # 0x88 s_last_mounted, s_algorithm_usage_bitmap, s_prealloc_blocks, _dir_blocks
    "H"  # 0xCE s_reserved_gdt_blocks
    "16x"  # 0xD0 s_journal_uuid
    "I"  # 0xE0 s_journal_inum
    "8x"  # 0xE4 s_journal_dev, s_last_orphan
    "4I"  # 0xEC s_hash_seed
    "B"  # 0xFC s_def_hash_version
    "B"  # 0xFD s_jnl_backup_type
    "H"  # 0xFE s_desc_size
    "I"  # 0x100 s_default_mount_opts
    "4x"  # 0x104 s_first_meta_bg
    "I"  # 0x108 s_mkfs_time
    "68s"  # 0x10C s_jnl_blocks
    "I"  # 0x150 s_blocks_count_hi
    "4x"  # 0x154 s_r_blocks_count_hi
    "I"  # 0x158 s_free_blocks_count_hi
    "2H"  # 0x15C s_min_extra_isize, s_want_extra_isize
    "I"  # 0x160 s_flags
    "16x"  # 0x164 s_raid_stride, s_mmp_interval, s_mmp_block, s_raid_stripe_width
    "B"  # 0x174 s_log_groups_per_flex
    "B"  # 0x175 s_checksum_type
)
_CHECKSUM_SEED = 0x270  # s_checksum_seed
_TIMES_HIGH = 0x274  # s_wtime_hi, s_mtime_hi, s_mkfs_time_hi, s_lastcheck_hi; a byte each
_CHECKSUM = 0x3FC  # s_checksum

_MAGIC = 0xEF53  # s_magic
_CLEAN = 1  # s_state: unmounted cleanly
_CONTINUE_ON_ERROR = 1  # s_errors
_NEVER = 0xFFFF  # s_max_mnt_count: no check after a number of mounts
_DYNAMIC_REVISION = 1  # s_rev_level
_LOG_BLOCK = 2  # s_log_block_size: 2 ** (10 + 2) bytes
_HALF_MD4 = 1  # s_def_hash_version
_UNSIGNED_HASH = 2  # s_flags: the directory hash takes bytes as unsigned
_BACKS_UP_JOURNAL = 1  # s_jnl_backup_type: s_jnl_blocks is valid
_XATTR_AND_ACL = 0x0C  # s_default_mount_opts: user_xattr, acl
_LOG_GROUPS_PER_FLEX = 4  # s_log_groups_per_flex: 16 groups
_CRC32C = 1  # s_checksum_type

# s_feature_compat
_HAS_JOURNAL, _EXT_ATTR, _RESIZE_INODE, _DIR_INDEX = 0x4, 0x8, 0x10, 0x20
# s_feature_incompat
_FILETYPE, _EXTENTS, _64BIT, _FLEX_BG, _CSUM_SEED = 0x2, 0x40, 0x80, 0x200, 0x2000
# s_feature_ro_compat
_SPARSE_SUPER, _LARGE_FILE, _HUGE_FILE, _DIR_NLINK = 0x1, 0x2, 0x8, 0x20
_EXTRA_ISIZE, _METADATA_CSUM = 0x40, 0x400


@dataclass(frozen=True, slots=True)
class Superblock:
    """The superblock of a file system; ``journal_map`` is the ``i_block`` of the journal's inode."""

    options: Ext4Options
    geometry: Geometry
    free_blocks: int
    free_inodes: int
    journal_map: bytes

    def pack(self, group: int) -> bytes:
        """Return the 1024 bytes of the copy in *group*."""
        block = bytearray((self._first_half(group) + self._second_half()).ljust(_SIZE, b"\0"))
        high = self.options.time >> 32
        block[_TIMES_HIGH : _TIMES_HIGH + 4] = bytes([high, 0, high, high])  # never mounted
        seed = checksum_seed(self.options)
        if seed is not None:
            block[_CHECKSUM_SEED : _CHECKSUM_SEED + 4] = seed.to_bytes(4, "little")
            # Unlike all other checksums, this one starts from all ones, not from the seed.
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
        """Return s_jnl_blocks: i_block, i_size_high and i_size_lo of the journal's inode."""
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
    """Return True if metadata carries checksums (``metadata_csum``)."""
    return options.profile != "compat"


def checksum_seed(options: Ext4Options) -> int | None:
    """Return the seed of every checksum but the superblock's, or None if *options* disable them.

    The superblock stores it (``metadata_csum_seed``), so a change of UUID does not require
    rewriting all metadata.
    """
    return crc32c(options.volume_uuid.bytes) if has_checksums(options) else None
