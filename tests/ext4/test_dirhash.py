from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tarkit.ext4.dirhash import hash_names

SEED = struct.unpack("<4I", bytes.fromhex("0123456789abcdef0123456789abcdef"))

# What debugfs says: dx_hash -h 4 -s 01234567-89ab-cdef-0123-456789abcdef NAME
KNOWN = {
    b"a": 0x35DC0CC4_3F1DACEF,
    b"abcd": 0xBD344E40_ECCA21F3,
    b"hello": 0xA26E4A80_97E5B7F7,
    b"x" * 31: 0x05BD533C_204C2FD7,
    b"y" * 32: 0x3E29DE84_A4575A6E,
    b"z" * 33: 0x3CD38F30_ECF7E55F,
    b"q" * 64: 0xF20C5AD2_ED876444,
    b"w" * 255: 0xAB20D38A_1AF3DD27,
    "héé".encode(): 0xA3113D96_31E039C0,
}


def test_hashes_match_e2fsprogs() -> None:
    assert dict(zip(KNOWN, hash_names(list(KNOWN), SEED), strict=True)) == KNOWN


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=40))
def test_a_hash_does_not_depend_on_other_names(names: list[bytes]) -> None:
    assert hash_names(names, SEED) == [hash_names([name], SEED)[0] for name in names]


@given(st.binary(min_size=1, max_size=255))
def test_hashes_have_a_clear_lowest_bit_and_are_below_the_end_mark(name: bytes) -> None:
    major = hash_names([name], SEED)[0] >> 32
    assert major & 1 == 0
    assert major < 0xFFFFFFFE


def test_a_hash_that_would_be_the_end_mark_is_moved() -> None:
    from tarkit.ext4.dirhash import _usable

    assert _usable(0xFFFFFFFF) == _usable(0xFFFFFFFE) == 0xFFFFFFFC
    assert _usable(0xFFFFFFFD) == 0xFFFFFFFC
