from __future__ import annotations

import struct
from uuid import UUID

import pytest

from tarkit.ext4.crc32c import crc32c
from tarkit.ext4.geometry import divide
from tarkit.ext4.options import Ext4Options
from tarkit.ext4.superblock import Superblock, checksum_seed

UUID_ = UUID("01234567-89ab-cdef-0123-456789abcdef")


def packed(options: Ext4Options, blocks: int = 100_000, group: int = 0) -> bytes:
    prefix = 1 if options.profile == "ro" else 33
    geometry = divide(blocks, 500, prefix, options)
    return Superblock(options, geometry, 7 * 2**32 + 5, 6, b"j" * 60).pack(group)


def word(block: bytes, offset: int) -> int:
    return int.from_bytes(block[offset : offset + 4], "little")


def half(block: bytes, offset: int) -> int:
    return int.from_bytes(block[offset : offset + 2], "little")


def test_fields_are_at_their_offsets() -> None:
    block = packed(Ext4Options(uuid=UUID_, label="größe", timestamp=2 * 2**32 + 9), group=3)
    assert len(block) == 1024
    assert (word(block, 0x04), word(block, 0x0C), word(block, 0x10)) == (100_000, 5, 6)
    assert (word(block, 0x18), word(block, 0x20), word(block, 0x30)) == (2, 32768, 9)
    assert (half(block, 0x36), half(block, 0x38), half(block, 0x3A)) == (0xFFFF, 0xEF53, 1)
    assert (word(block, 0x4C), word(block, 0x54)) == (1, 11)
    assert (half(block, 0x58), half(block, 0x5A)) == (256, 3)
    assert block[0x68:0x78] == UUID_.bytes
    assert block[0x78:0x88] == "größe".encode().ljust(16, b"\0")
    assert half(block, 0xCE) == 31
    assert (word(block, 0xE0), block[0xFC], block[0xFD], half(block, 0xFE)) == (8, 1, 1, 0)
    assert struct.unpack_from("<4I", block, 0xEC) == Ext4Options().hash_seed
    assert (word(block, 0x100), word(block, 0x108)) == (0xC, 9)
    assert block[0x10C:0x150] == b"j" * 60 + bytes(4) + (4096 * 4096).to_bytes(4, "little")
    assert (word(block, 0x158), half(block, 0x15C), half(block, 0x15E)) == (7, 32, 32)
    assert (word(block, 0x160), block[0x174], block[0x175]) == (2, 4, 1)
    assert block[0x274:0x278] == bytes([2, 0, 2, 2])


def test_the_checksum_covers_all_preceding_bytes() -> None:
    block = packed(Ext4Options())
    assert word(block, 0x3FC) == crc32c(block[:0x3FC])
    assert word(packed(Ext4Options(profile="compat")), 0x3FC) == 0


@pytest.mark.parametrize(
    ("options", "blocks", "features"),
    [
        (Ext4Options(), 100_000, (0x3C, 0x2242, 0x46B)),
        (Ext4Options(), 2_000, (0x38, 0x2242, 0x46B)),
        (Ext4Options(profile="ro"), 100_000, (0x28, 0x2242, 0x46B)),
        (Ext4Options(profile="compat"), 100_000, (0x3C, 0x242, 0x06B)),
        (Ext4Options(), 2**32, (0x2C, 0x22C2, 0x46B)),
    ],
    ids=["default", "no room for a journal", "ro", "compat", "64bit"],
)
def test_features(options: Ext4Options, blocks: int, features: tuple[int, int, int]) -> None:
    assert struct.unpack_from("<3I", packed(options, blocks), 0x5C) == features


def test_checksums_start_from_the_uuid() -> None:
    assert checksum_seed(Ext4Options(uuid=UUID_)) == crc32c(UUID_.bytes)
    assert checksum_seed(Ext4Options(profile="compat")) is None


def test_the_checksum_seed_is_stored() -> None:
    options = Ext4Options(uuid=UUID_)
    assert word(packed(options), 0x270) == checksum_seed(options) == crc32c(UUID_.bytes)
    assert word(packed(Ext4Options(uuid=UUID_, profile="compat")), 0x270) == 0
