"""Digests of files with holes, and of files that change or fail during hashing."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tarkit.errors import TarkitError, TruncatedError
from tarkit.streams import hashing
from tarkit.streams.direct import DirectReader
from tarkit.streams.hashing import FileDigest, file_digest


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_PIECE", 8192)


def loaders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("load", "hash")]


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 5 * 8192, 100_001])
def test_dense_files(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        digest = file_digest(file, "file")
    assert str(digest) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert not loaders()


@pytest.mark.parametrize("places", [[], [0], [300_000], [0, 100_000, 200_000], [599_999]])
def test_files_with_holes(tmp_path: Path, places: list[int]) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.truncate(600_000)
        for place in places:
            file.seek(place)
            file.write(b"data")
        file.flush()
        digest = file_digest(file, "file")
    expected = hashlib.sha256((tmp_path / "file").read_bytes())
    assert digest.hex == expected.hexdigest()


@pytest.mark.parametrize("settled", [0, 1, 8192, 50_000, 100_000])
def test_a_file_whose_parts_are_written_later(tmp_path: Path, settled: int) -> None:
    final = os.urandom(100_000) + bytes(200_000) + os.urandom(10)
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.write(final[:settled] + b"not yet")
        with closing(FileDigest(file, "file")) as digest:
            digest.begin(settled)
            early = hashlib.sha256(final[:settled]).digest()
            deadline = time.monotonic() + 60
            while digest._hasher.digest() != early:  # it is read before the rest is there
                assert time.monotonic() < deadline
                time.sleep(0.001)
            os.pwrite(file.fileno(), final[settled:100_000], settled)
            os.pwrite(file.fileno(), final[-10:], len(final) - 10)
            os.pwrite(file.fileno(), bytes(10), 100_000)
            assert digest.finish().hex == hashlib.sha256(final).hexdigest()
    assert not loaders()


def test_an_error_while_the_rest_is_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100_000))
    with (tmp_path / "file").open("rb") as file:
        with suppress(ZeroDivisionError), closing(FileDigest(file, "file")) as digest:
            digest.begin(90_000)
            raise ZeroDivisionError
        assert not loaders()
        with closing(FileDigest(file, "file")):  # of which nobody wants to know anything
            pass
    assert not loaders()


def test_a_file_that_loses_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(self: DirectReader, buffer: memoryview, offset: int) -> int:
        return 0 if offset else len(buffer)

    monkeypatch.setattr(DirectReader, "read_into", nothing)
    (tmp_path / "file").write_bytes(bytes(20_000))
    with (tmp_path / "file").open("rb") as file, pytest.raises(TruncatedError, match="8192"):
        file_digest(file, "file")
    assert not loaders()


def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(DirectReader, "read_into", fail)
    (tmp_path / "file").write_bytes(b"data")
    with (tmp_path / "file").open("rb") as file, pytest.raises(TarkitError, match="Input/output"):
        file_digest(file, "file")
    assert not loaders()


def test_an_interrupt_ends_the_thread_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def update(self, data: Any) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(hashlib, "sha256", Interrupted)
    (tmp_path / "file").write_bytes(bytes(100_000))
    with (tmp_path / "file").open("rb") as file, pytest.raises(KeyboardInterrupt):
        file_digest(file, "file")
    assert not loaders()
