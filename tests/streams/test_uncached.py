"""Reads and writes at any offset, on any system, with or without the page cache."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.streams import uncached
from tarkit.streams.uncached import Gathered, read_at, write_at
from tests.streams.writes import KINDS, Write, carried_out

LARGE = bytes(range(256)) * 1024


@pytest.fixture(params=["this", "no pread"])
def digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[BinaryIO]:
    """A file of ten digits, on this system and on one without reads at an offset."""
    if request.param != "this":
        monkeypatch.delattr(os, "pread", raising=False)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        yield file


def test_reads_at_any_offset(digits: BinaryIO) -> None:
    for size, offset, expected in ((3, 4, b"456"), (3, 0, b"012"), (3, 8, b"89"), (3, 10, b"")):
        assert read_at(digits.fileno(), size, offset) == expected


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("system", ["this", "no flags", "no pwritev", "no pwrite"])
def test_writes_at_any_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, data: bytes
) -> None:
    if system != "this":
        monkeypatch.setattr(uncached, "_HAS_FLAGS", False)
    if system in ("no pwritev", "no pwrite"):
        monkeypatch.delattr(os, "pwritev", raising=False)
    if system == "no pwrite":
        monkeypatch.delattr(os, "pwrite", raising=False)
    path = tmp_path / "file"
    with path.open("w+b") as file:
        write_at(file.fileno(), [b"", memoryview(data)], 5000)
        write_at(file.fileno(), [data[:2], b"", data[2:]], 3)
        write_at(file.fileno(), [b""], 1 << 30)
    expected = bytearray(5000) + data
    expected[3 : 3 + len(data)] = data
    assert path.read_bytes() == expected


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="writes take no flags here")
def test_a_filesystem_without_uncached_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwritev = os.pwritev

    def refuse(descriptor: int, pieces: Any, offset: int, flags: int = 0) -> int:
        if flags:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return pwritev(descriptor, pieces, offset)

    monkeypatch.setattr(os, "pwritev", refuse)
    with (tmp_path / "file").open("w+b") as file:
        write_at(file.fileno(), [LARGE], 7)
    assert (tmp_path / "file").read_bytes() == bytes(7) + LARGE


@pytest.mark.skipif(not hasattr(os, "pwritev"), reason="pieces are joined here")
def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwritev = os.pwritev

    def reluctant(descriptor: int, pieces: Any, offset: int, flags: int = 0) -> int:
        return pwritev(descriptor, [b"".join(pieces)[:70_000]], offset)

    monkeypatch.setattr(os, "pwritev", reluctant)
    with (tmp_path / "file").open("w+b") as file:
        write_at(file.fileno(), [b"head", LARGE, b"tail"], 5)
    assert (tmp_path / "file").read_bytes() == bytes(5) + b"head" + LARGE + b"tail"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_reported() -> None:
    with Path("/dev/full").open("r+b", buffering=0) as file, pytest.raises(OSError, match="space"):
        write_at(file.fileno(), [b"x"], 0)


@given(
    writes=st.lists(
        st.tuples(
            st.integers(0, 3 << 20) | st.none(),
            st.integers(0, 100) | st.integers(30_000, 2 << 20),
            KINDS,
        ),
        max_size=8,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_gathered_pieces_are_at_their_offsets(tmp_path: Path, writes: list[Write]) -> None:
    model = bytearray(24 << 20)
    with (tmp_path / "file").open("w+b") as file:
        output = Gathered(file.fileno())
        for _ in carried_out(output, model, writes):
            pass
        output.flush()
        file.truncate(len(model))
    assert (tmp_path / "file").read_bytes() == model


def test_many_small_pieces_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = uncached.write_at

    def counted(descriptor: int, pieces: Any, offset: int) -> None:
        calls.append((offset, len(pieces)))
        original(descriptor, pieces, offset)

    monkeypatch.setattr(uncached, "write_at", counted)
    with (tmp_path / "file").open("w+b") as file:
        output = Gathered(file.fileno())
        for number in range(1000):
            output.write(10 * number, b"0123456789")
        output.flush()
        output.flush()
    assert (tmp_path / "file").read_bytes() == b"0123456789" * 1000
    assert calls == [(0, 512), (5120, 488)]


def test_a_small_piece_does_not_keep_the_large_one_it_is_a_part_of(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        output = Gathered(file.fileno())
        chunk = bytes(1 << 20)
        before = sys.getrefcount(chunk)
        output.write(0, memoryview(chunk)[:100])
        assert sys.getrefcount(chunk) == before
