"""The verifying reader: short, long and altered streams, and consumers that stop early."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import DigestMismatchError, SizeMismatchError
from tarkit.image.digest import Digest
from tarkit.streams.verify import VerifyingReader, verified
from tests.builders import noise

DATA = noise(3_000_000)
DIGEST = Digest.of(DATA)


def reader(
    data: bytes, *, size: int | None = len(DATA), digest: Digest = DIGEST
) -> VerifyingReader:
    return VerifyingReader(io.BytesIO(data), digest=digest, size=size)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_a_correct_stream_is_unchanged(data: bytes, step: int) -> None:
    stream = VerifyingReader(io.BytesIO(data), digest=Digest.of(data), size=len(data))
    assert b"".join(iter(lambda: stream.read(step), b"")) == data
    assert stream.digest == Digest.of(data)
    assert stream.size == len(data)


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_every_algorithm(algorithm: str) -> None:
    digest = Digest.of(DATA, algorithm)
    stream = reader(DATA, digest=digest)
    assert stream.algorithm == algorithm
    assert stream.read() == DATA
    assert stream.digest == digest


def test_a_short_stream() -> None:
    with pytest.raises(SizeMismatchError, match=f"expected {len(DATA)} bytes, got only 2999999"):
        reader(DATA[:-1]).verify()


def test_a_long_stream_is_noticed_before_its_end() -> None:
    with pytest.raises(SizeMismatchError, match="got more") as caught:
        VerifyingReader(Endless(), digest=DIGEST, size=10).verify()
    assert caught.value.actual < 10_000_000


class Endless:
    """An endless stream of zeros."""

    def read(self, size: int = -1, /) -> bytes:
        return bytes(size)


def test_an_altered_stream() -> None:
    altered = bytes([DATA[0] ^ 1]) + DATA[1:]
    with pytest.raises(DigestMismatchError) as caught:
        reader(altered).verify()
    assert caught.value.expected == str(DIGEST)
    assert caught.value.actual == str(Digest.of(altered))


def test_a_digest_alone_is_enough() -> None:
    with pytest.raises(DigestMismatchError):
        reader(DATA[:-1], size=None).verify()


def test_the_digest_is_unavailable_before_the_end() -> None:
    stream = reader(DATA)
    stream.read(len(DATA) - 1)
    with pytest.raises(RuntimeError, match="only at its end"):
        _ = stream.digest


def test_a_consumer_that_stops_early_verifies_the_rest() -> None:
    stream = reader(DATA + b"x")
    assert len(stream.read(10)) == 10
    with pytest.raises(SizeMismatchError):
        stream.verify()


def test_further_reads_raise_the_error_again() -> None:
    stream = reader(DATA[:-1])
    for _ in range(2):
        with pytest.raises(SizeMismatchError):
            stream.verify()


def test_without_expectations_it_computes_digest_and_size() -> None:
    stream = VerifyingReader(io.BytesIO(DATA))
    stream.verify()
    assert (stream.digest, stream.size) == (DIGEST, len(DATA))


def test_the_error_says_where() -> None:
    with pytest.raises(SizeMismatchError, match=r"^a\.tar: layer x: size mismatch"):
        VerifyingReader(io.BytesIO(b""), size=1, where="a.tar: layer x").verify()


def test_small_content_is_read_checked_and_closed() -> None:
    stream = io.BytesIO(b"abc")
    assert verified(stream, Digest.of(b"abc"), 3) == b"abc"
    assert stream.closed
    with pytest.raises(DigestMismatchError):
        verified(io.BytesIO(b"abd"), Digest.of(b"abc"), 3)
