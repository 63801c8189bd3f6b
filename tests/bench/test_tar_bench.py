"""The speed of reading headers, compared with the standard library on the same bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tarkit.tar.index import index_file
from tarkit.tar.member import Member
from tarkit.tar.writer import TarWriter
from tests.bench.headers import DIALECTS, MEMBERS, by_tarfile, by_tarkit, layer


@pytest.mark.parametrize("read", [by_tarkit, by_tarfile])
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=["ustar", "gnu", "pax"])
def test_headers(benchmark: BenchmarkFixture, dialect: int, read: Callable[[bytes], int]) -> None:
    archive = layer(dialect)
    benchmark.group = f"headers of {MEMBERS} members"
    assert benchmark(read, archive) == MEMBERS


def test_index(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(layer(tarfile.GNU_FORMAT))
    with path.open("rb") as file:
        assert len(benchmark(index_file, file).members) == MEMBERS


def test_writing(benchmark: BenchmarkFixture) -> None:
    members = [Member(b"usr/lib/file%d" % number, size=100) for number in range(MEMBERS)]
    data = bytes(100)

    def write() -> int:
        output = io.BytesIO()
        with TarWriter(output) as writer:
            for member in members:
                writer.add(member, data)
        return len(output.getvalue())

    assert benchmark(write) == MEMBERS * 1024 + 1024
