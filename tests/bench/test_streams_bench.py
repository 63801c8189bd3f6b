"""Benchmarks of functions that every copy uses: hashing, compression, decompression."""

from __future__ import annotations

import io
import random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression
from tarkit.streams.codecs import compress, decompress
from tarkit.streams.verify import VerifyingReader

SIZE = 16 << 20


@pytest.fixture(scope="module")
def data() -> bytes:
    """Return bytes that compress to about a third, like layers."""
    words = [random.Random(n).randbytes(12) for n in range(4096)]
    choose = random.Random(0)
    return b"".join(choose.choices(words, k=SIZE // 12))


def test_verifying_reader(benchmark: BenchmarkFixture, data: bytes) -> None:
    digest = Digest.of(data)

    def read() -> None:
        VerifyingReader(io.BytesIO(data), digest=digest, size=len(data)).verify()

    benchmark(read)


@pytest.mark.parametrize("codec", [Compression.GZIP, Compression.ZSTD], ids=lambda c: c.value)
def test_packing(benchmark: BenchmarkFixture, data: bytes, codec: Compression) -> None:
    packed = benchmark(lambda: compress(io.BytesIO(data), codec).read())
    assert len(packed) < len(data)


@pytest.mark.parametrize("codec", [Compression.GZIP, Compression.ZSTD], ids=lambda c: c.value)
def test_unpacking(benchmark: BenchmarkFixture, data: bytes, codec: Compression) -> None:
    packed = compress(io.BytesIO(data), codec).read()
    assert benchmark(lambda: decompress(io.BytesIO(packed), codec).read()) == data
