from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.ext4.crc32c import ALL_ONES, crc32c, crc32c_many


# The inverted values are published: RFC 3720, appendix B.4, and the usual check string.
@pytest.mark.parametrize(
    ("message", "inverted"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_published_checksums(message: bytes, inverted: int) -> None:
    assert crc32c(message) ^ ALL_ONES == inverted


def test_a_checksum_continues_where_another_ended() -> None:
    assert crc32c(b"456789", crc32c(b"123")) == crc32c(b"123456789")


@given(
    messages=st.lists(st.tuples(st.binary(min_size=3, max_size=3), st.binary(min_size=9, max_size=9))),
    covered=st.integers(0, 9),
    seed=st.integers(0, ALL_ONES),
)  # fmt: skip
def test_many_at_once_are_the_same_as_one_by_one(
    messages: list[tuple[bytes, bytes]], covered: int, seed: int
) -> None:
    prefixes = b"".join(prefix for prefix, _ in messages)
    bodies = b"".join(body for _, body in messages)
    words = crc32c_many(prefixes, bodies, len(messages), covered, seed)
    assert struct.unpack(f"<{len(messages)}I", words) == tuple(
        crc32c(prefix + body[:covered], seed) for prefix, body in messages
    )
