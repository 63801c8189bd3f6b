from __future__ import annotations

import pytest
from hypothesis import example, given
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


def test_a_checksum_continues_another() -> None:
    assert crc32c(b"456789", crc32c(b"123")) == crc32c(b"123456789")


@given(
    messages=st.lists(st.tuples(st.binary(min_size=3, max_size=3), st.binary(max_size=700))),
    covered=st.integers(0, 700),
    seed=st.integers(0, ALL_ONES),
    tail=st.integers(0, 300),
)  # fmt: skip
@example([(b"abc", b"much"), (b"def", b""), (b"ghi", b"a" * 400)], 4084, 7, 0)
@example([(b"abc", b"\1"), (b"def", b"")], 300, 7, 0)
@example([(b"abc", b"\1"), (b"def", b"")], 512, 7, 0)
@example([(b"abc", b"\1" * 160), (b"def", b"\1" * 161)], 256, 7, 96)
def test_crc32c_many_matches_crc32c(
    messages: list[tuple[bytes, bytes]], covered: int, seed: int, tail: int
) -> None:
    prefixes = [prefix for prefix, _ in messages]
    bodies = [
        body.ljust(covered, b"\0") + b"more" for _, body in messages
    ]  # of any length, filled up
    assert crc32c_many(prefixes, bodies, covered, seed, tail=tail) == [
        crc32c(prefix + body[:covered], seed) for prefix, body in zip(prefixes, bodies, strict=True)
    ]
