from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.ext4.xattr import INODE_ROOM, can_hold, entry_hash, pack_xattrs, short_acl
from tests.ext4.trees import acl

MAGIC = 0xEA020000


def read(area: bytes, start: int, origin: int) -> dict[tuple[int, bytes], bytes]:
    """Return the attributes of *area*: entries begin at *start*, offsets count from *origin*."""
    found = {}
    while area[start : start + 4] != bytes(4):
        size, index, offset, inode, length, _ = struct.unpack_from("<BBHIII", area, start)
        assert inode == 0
        name = area[start + 16 : start + 16 + size]
        found[index, name] = area[origin + offset : origin + offset + length]
        start += 16 + size + -size % 4
    return found


def test_small_attributes_are_in_the_inode() -> None:
    packed = pack_xattrs({b"security.capability": b"c" * 20, b"user.a": b"12345"})
    assert packed.block is None
    assert len(packed.in_inode) == INODE_ROOM
    assert struct.unpack_from("<I", packed.in_inode) == (MAGIC,)
    assert read(packed.in_inode, 4, 4) == {(6, b"capability"): b"c" * 20, (1, b"a"): b"12345"}


def test_attributes_that_do_not_fit_are_in_a_block() -> None:
    packed = pack_xattrs({b"user.large": b"l" * 1000, b"user.b": b"", b"trusted.z": b"z" * 200})
    assert read(packed.in_inode, 4, 4) == {(1, b"b"): b""}
    assert packed.block is not None
    assert len(packed.block) == 4096
    magic, references, blocks = struct.unpack_from("<III", packed.block)
    assert (magic, references, blocks) == (MAGIC, 1, 1)
    expected = {(1, b"large"): b"l" * 1000, (4, b"z"): b"z" * 200}
    assert list(read(packed.block, 32, 0).items()) == list(expected.items())


def test_no_attributes_are_zeros() -> None:
    assert pack_xattrs({}).in_inode == bytes(INODE_ROOM)


@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=60).map(lambda name: b"user." + name),
        st.binary(max_size=120),
        max_size=12,
    )
)
def test_attributes_round_trip(xattrs: dict[bytes, bytes]) -> None:
    packed = pack_xattrs(xattrs)
    found = read(packed.in_inode, 4, 4) if any(packed.in_inode) else {}
    if packed.block is not None:
        outside = read(packed.block, 32, 0)
        assert list(outside) == sorted(outside, key=lambda key: (key[0], len(key[1]), key[1]))
        found |= outside
    assert found == {(1, name[5:]): value for name, value in xattrs.items()}


def test_the_capacity_of_a_block() -> None:
    room = 4096 - 32 - 4 - 16 - 4
    assert pack_xattrs({b"user.full": b"f" * room}).block is not None
    with pytest.raises(UnsupportedError, match="4068 bytes"):
        pack_xattrs({b"user.full": b"f" * (room + 1)})


def test_the_inode_is_filled_to_make_the_rest_fit() -> None:
    """With only 28 bytes in the inode, the rest would not fit the block."""
    sizes = {b"user.a": 28, b"user.bb": 88, b"user.ccc": 4032}
    xattrs = {name: b"v" * (size - 16 - 4) for name, size in sizes.items()}
    packed = pack_xattrs(xattrs)
    assert list(read(packed.in_inode, 4, 4)) == [(1, b"bb")]
    assert packed.block is not None
    assert list(read(packed.block, 32, 0)) == [(1, b"a"), (1, b"ccc")]


@pytest.mark.parametrize(
    "name", [b"user.a", b"trusted.a", b"security.ima", b"system.posix_acl_access"]
)
def test_names_that_ext4_can_store(name: bytes) -> None:
    assert can_hold(name)
    assert can_hold(b"user." + b"n" * 250)


@pytest.mark.parametrize(
    "name", [b"com.apple.provenance", b"system.data", b"user.", b"user", b"", b"user." + b"n" * 251]
)
def test_names_that_ext4_cannot_store(name: bytes) -> None:
    assert not can_hold(name)
    with pytest.raises(UnsupportedError):
        pack_xattrs({name: b""})


def test_hash_of_an_entry() -> None:
    assert entry_hash(b"", b"") == 0
    assert entry_hash(b"a", b"") == 0x61
    assert entry_hash(b"ab", b"") == 0x61 << 5 ^ 0x62
    assert entry_hash(b"a", b"\1\0\0\0") == 0x61 << 16 ^ 1
    assert entry_hash(b"a", b"\1") == entry_hash(b"a", b"\1\0\0\0")


def test_access_control_lists_are_shortened() -> None:
    assert short_acl(acl()) == bytes.fromhex(
        "01000000" "01000600" "02000400e8030000" "04000400" "08000700d0070000" "10000700" "20000000"
    )  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\2\0\0",
        struct.pack("<I", 1),
        struct.pack("<I", 2) + b"\1\0\6\0",
        struct.pack("<IHHI", 2, 3, 6, 0),
    ],
)
def test_invalid_access_control_lists_are_refused(value: bytes) -> None:
    with pytest.raises(MalformedError):
        pack_xattrs({b"system.posix_acl_access": value})
