"""How fast headers are read, beside the standard library reading the same bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tarkit.tar.index import index_file
from tarkit.tar.member import Member
from tarkit.tar.reader import TarReader
from tarkit.tar.writer import TarWriter

MEMBERS = 5_000


def layer(dialect: int) -> bytes:
    """An archive of small files, written by tarfile; pax headers come with their fractions of seconds."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=dialect) as tar:
        for number in range(MEMBERS):
            info = tarfile.TarInfo(f"usr/lib/python3/dist-packages/p{number % 100}/f{number}.py")
            info.mtime = (
                1_700_000_000 + number % 1000 + (0.5 if dialect == tarfile.PAX_FORMAT else 0)
            )
            info.size = number * 7919 % 1000
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return output.getvalue()


def by_tarkit(archive: bytes) -> int:
    return sum(1 for _ in TarReader(io.BytesIO(archive)))


def by_tarfile(archive: bytes) -> int:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as tar:
        return sum(1 for _ in tar)


@pytest.mark.parametrize("read", [by_tarkit, by_tarfile])
@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["ustar", "gnu", "pax"])  # fmt: skip
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
