"""Group descriptors and the bitmaps they point to.

See "ext4 Data Structures and Algorithms", sections 3.2, Block Group Descriptors, and 3.3, Block and
Inode Bitmaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tarkit.ext4.crc32c import crc32c_many
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, backup_groups
from tarkit.ext4.image import ImageFile
from tarkit.ext4.layout import BlockLayout
from tarkit.ext4.space import Run

_INODE_UNINIT, _BLOCK_UNINIT, _INODE_ZEROED = 1, 2, 4  # bg_flags
_NARROW = struct.Struct(
    "<"
    "III"  # 0x00 bg_block_bitmap_lo, bg_inode_bitmap_lo, bg_inode_table_lo
    "H"  # 0x0C bg_free_blocks_count_lo
    "H"  # 0x0E bg_free_inodes_count_lo
    "H"  # 0x10 bg_used_dirs_count_lo
    "H"  # 0x12 bg_flags
    "4x"  # 0x14 bg_exclude_bitmap_lo
    "H"  # 0x18 bg_block_bitmap_csum_lo
    "H"  # 0x1A bg_inode_bitmap_csum_lo
    "H"  # 0x1C bg_itable_unused_lo
    "2x"  # 0x1E bg_checksum
)
# The second half of a descriptor, with 64bit only. A group's counts always fit 16 bits.
_WIDE = struct.Struct(
    "<"
    "III"  # 0x20 bg_block_bitmap_hi, bg_inode_bitmap_hi, bg_inode_table_hi
    "12x"  # 0x2C high halves of counts, bg_exclude_bitmap_hi
    "H"  # 0x38 bg_block_bitmap_csum_hi
    "H"  # 0x3A bg_inode_bitmap_csum_hi
    "4x"  # 0x3C bg_reserved
)
_CHECKSUM_OFFSET = 0x1E  # bg_checksum: the low half of a CRC32C
_CHECKSUM = struct.Struct("<H")
_BATCH = 256  # groups whose bitmaps are in memory at once
_FULL = b"\xff" * BLOCK


class Usage(NamedTuple):
    """Inodes in use: numbers 1 to ``inodes``, with the number of directories of each group."""

    inodes: int
    directories: Sequence[int]


class _Group(NamedTuple):
    number: int
    free: Sequence[Run]
    used_inodes: int
    flags: int

    @property
    def free_blocks(self) -> int:
        return sum(run.count for run in self.free)


def write_groups(
    image: ImageFile, layout: BlockLayout, usage: Usage, checksum_seed: int | None
) -> bytes:
    """Write the bitmaps of every group and return the descriptor table, padded to whole blocks.

    With checksums, unused groups are flagged as uninitialized and their bitmaps are not written.
    """
    groups = _survey(layout, usage, uninit=checksum_seed is not None)
    inodes_per_group = layout.geometry.inodes_per_group
    tables = []
    for start in range(0, len(groups), _BATCH):
        batch = groups[start : start + _BATCH]
        blocks = {
            layout.block_bitmaps[group.number]: _block_bitmap(group)
            for group in batch
            if not group.flags & _BLOCK_UNINIT
        }
        inodes = {
            layout.inode_bitmaps[group.number]: _inode_bitmap(group, inodes_per_group)
            for group in batch
            if not group.flags & _INODE_UNINIT
        }
        for place, bitmap in (*blocks.items(), *inodes.items()):
            image.write(place * BLOCK, bitmap)
        checksums = _checksums(blocks, BLOCK, checksum_seed)
        checksums |= _checksums(inodes, inodes_per_group // 8, checksum_seed)
        tables.append(_descriptors(batch, checksums, layout, usage, checksum_seed))
    return b"".join(tables).ljust(layout.geometry.gdt_blocks * BLOCK, b"\0")


def _checksums(bitmaps: Mapping[int, bytes], covered: int, seed: int | None) -> dict[int, int]:
    """Return the checksums of *bitmaps*; both are keyed by block number."""
    if seed is None:
        return {}
    sums = crc32c_many([b""] * len(bitmaps), list(bitmaps.values()), covered, seed)
    return dict(zip(bitmaps, sums, strict=True))


def _survey(layout: BlockLayout, usage: Usage, *, uninit: bool) -> list[_Group]:
    geometry = layout.geometry
    free: dict[int, list[Run]] = {}
    for group, run in _by_group(layout.space.free_runs(geometry.blocks)):
        free.setdefault(group, []).append(run)
    backups = set(backup_groups(geometry.groups))
    groups = []
    for number in range(geometry.groups):
        start = geometry.prefix if number in backups else 0
        untouched = free.get(number) == [Run(start, BLOCKS_PER_GROUP - start)]
        used = min(
            max(usage.inodes - number * geometry.inodes_per_group, 0), geometry.inodes_per_group
        )
        flags = 0
        if uninit:
            flags = _INODE_ZEROED | (0 if used else _INODE_UNINIT)
            # The kernel reads the first and the last group when it resizes; mke2fs also
            # initializes them.
            inner = 0 < number < geometry.groups - 1
            flags |= _BLOCK_UNINIT if untouched and inner else 0
        groups.append(_Group(number, free.get(number, ()), used, flags))
    return groups


def _by_group(runs: Iterable[Run]) -> Iterable[tuple[int, Run]]:
    """Cut *runs* at group boundaries; yield each group with a run relative to its start."""
    for run in runs:
        position = run.start
        while position < run.end:
            group, offset = divmod(position, BLOCKS_PER_GROUP)
            count = min(run.end - position, BLOCKS_PER_GROUP - offset)
            yield group, Run(offset, count)
            position += count


def _block_bitmap(group: _Group) -> bytes:
    bitmap = bytearray(_FULL)
    for run in group.free:
        _clear(bitmap, run)
    return bytes(bitmap)


def _clear(bitmap: bytearray, run: Run) -> None:
    # Single bits at both ends, whole bytes between them.
    head = min(run.end, run.start + -run.start % 8)
    tail = max(head, run.end // 8 * 8)
    for bit in (*range(run.start, head), *range(tail, run.end)):
        bitmap[bit // 8] &= ~(1 << bit % 8)
    bitmap[head // 8 : tail // 8] = bytes((tail - head) // 8)


def _inode_bitmap(group: _Group, inodes_per_group: int) -> bytes:
    bitmap = bytearray(_FULL)
    _clear(bitmap, Run(group.used_inodes, inodes_per_group - group.used_inodes))
    return bytes(bitmap)


def _descriptors(
    batch: Sequence[_Group],
    checksums: Mapping[int, int],
    layout: BlockLayout,
    usage: Usage,
    checksum_seed: int | None,
) -> bytes:
    """Return the descriptors of *batch*; *checksums* are those of the bitmaps, by block number."""
    size = layout.geometry.descriptor_size
    descriptors = [
        _pack(group, layout, usage.directories[group.number], checksums) for group in batch
    ]
    table = bytearray(b"".join(descriptors))
    if checksum_seed is not None:
        # A descriptor's checksum covers the group's number, then the descriptor.
        numbers = [group.number.to_bytes(4, "little") for group in batch]
        for at, checksum in enumerate(crc32c_many(numbers, descriptors, size, checksum_seed)):
            _CHECKSUM.pack_into(table, at * size + _CHECKSUM_OFFSET, checksum & 0xFFFF)
    return bytes(table)


def _pack(
    group: _Group, layout: BlockLayout, directories: int, checksums: Mapping[int, int]
) -> bytes:
    block_bitmap = layout.block_bitmaps[group.number]
    inode_bitmap = layout.inode_bitmaps[group.number]
    places = (block_bitmap, inode_bitmap, layout.inode_tables[group.number])
    block_sum, inode_sum = checksums.get(block_bitmap, 0), checksums.get(inode_bitmap, 0)
    free_inodes = layout.geometry.inodes_per_group - group.used_inodes
    narrow = _NARROW.pack(
        *(place & 0xFFFFFFFF for place in places),
        group.free_blocks,
        free_inodes,
        directories,
        group.flags,
        block_sum & 0xFFFF,
        inode_sum & 0xFFFF,
        free_inodes if group.flags else 0,
    )
    if not layout.geometry.wide:
        return narrow
    high = (place >> 32 for place in places)
    return narrow + _WIDE.pack(*high, block_sum >> 16, inode_sum >> 16)
