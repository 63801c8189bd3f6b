from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.ext4.crc32c import crc32c
from tarkit.ext4.inode import Placement, encode_time, pack_inode, pack_table, storable_time
from tarkit.ext4.node import Ext4Node

SECOND = 10**9
FIRST, LAST = -(2**31) * SECOND, (2**34 - 2**31) * SECOND - 1


def decode_time(seconds: int, extra: int) -> int:
    signed = seconds - (seconds >> 31 << 32)
    return (signed + ((extra & 3) << 32)) * SECOND + (extra >> 2)


def at(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * SECOND


@given(st.integers(FIRST, at("2310-04-04") - 1) | st.integers(at("2378-04-23"), LAST))
def test_times_in_range_are_exact_to_the_nanosecond(time: int) -> None:
    assert storable_time(time) == time
    assert decode_time(*encode_time(time)) == time


# The table in the kernel's documentation of inode timestamps.
@pytest.mark.parametrize(
    ("date", "seconds", "epoch"),
    [
        ("1901-12-13 20:45:52", 0x80000000, 0),
        ("1969-12-31 23:59:59", 0xFFFFFFFF, 0),
        ("1970-01-01 00:00:00", 0, 0),
        ("2038-01-19 03:14:08", 0x80000000, 1),
        ("2106-02-07 06:28:16", 0, 1),
        ("2242-03-16 12:56:32", 0, 2),
        ("2446-05-10 22:38:55", 0x7FFFFFFF, 3),
    ],
)
def test_epochs(date: str, seconds: int, epoch: int) -> None:
    assert encode_time(at(date)) == (seconds, epoch)


def test_times_out_of_range_are_clamped() -> None:
    assert storable_time(FIRST - 1) == FIRST
    assert storable_time(LAST + 1) == LAST


def test_times_that_e2fsck_would_repair_are_clamped() -> None:
    before = at("2310-04-04 16:10:40") - 1
    assert {storable_time(at(f"{year}-01-01")) for year in range(2311, 2379)} == {before}
    assert storable_time(before + 1) == before
    assert storable_time(at("2378-04-22 22:38:56")) == at("2378-04-22 22:38:56")


def test_large_numbers_are_split_in_two_fields() -> None:
    node = Ext4Node(mode=0o100644, uid=0x12345678, gid=0x9ABCDEF0)
    placement = Placement(size=0x1_2345_6789, blocks=0x2000_0001, xattr_block=0x1_0000_0002)
    packed = pack_inode(node, placement)
    assert len(packed) == 256
    assert struct.unpack_from("<2xHI16xH", packed) == (0x5678, 0x23456789, 0xDEF0)
    assert struct.unpack_from("<I", packed, 0x1C) == (8,)
    assert struct.unpack_from("<IIxxxxHHHH", packed, 0x68) == (2, 1, 1, 1, 0x1234, 0x9ABC)


def test_a_table_has_its_checksums() -> None:
    inodes = [pack_inode(Ext4Node(mode=0o100600 + i), Placement()) for i in range(5)]
    table = pack_table(inodes, 11, checksum_seed=99)
    for i, inode in enumerate(inodes):
        stored = table[256 * i : 256 * i + 256]
        low, high = (
            struct.unpack_from("<H", stored, 124)[0],
            struct.unpack_from("<H", stored, 130)[0],
        )
        assert low | high << 16 == crc32c(struct.pack("<II", 11 + i, 0) + inode, 99)
        assert stored[:124] + bytes(2) + stored[126:130] + bytes(2) + stored[132:] == inode


def test_tables_without_checksums_are_joined_inodes() -> None:
    inodes = [pack_inode(Ext4Node(mode=0o100644), Placement())] * 3
    assert pack_table(inodes, 1, checksum_seed=None) == b"".join(inodes)
