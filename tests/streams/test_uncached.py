"""Any offset, on any system, through the page cache or past it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tarkit.streams import uncached
from tarkit.streams.uncached import drop_cached, read_at, write_at

LARGE = bytes(range(256)) * 1024


@pytest.mark.parametrize("native", [True, False])
def test_reads_at_any_offset_with_and_without_pread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    if not native:
        monkeypatch.delattr(os, "pread", raising=False)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        assert read_at(file.fileno(), 3, 4) == b"456"
        assert read_at(file.fileno(), 3, 0) == b"012"
        assert read_at(file.fileno(), 3, 8) == b"89"
        assert read_at(file.fileno(), 3, 10) == b""


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("system", ["this", "no flags", "no pwrite"])
def test_writes_at_any_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, data: bytes
) -> None:
    if system != "this":
        monkeypatch.setattr(uncached, "_HAS_FLAGS", False)
    if system == "no pwrite":
        monkeypatch.delattr(os, "pwrite", raising=False)
    path = tmp_path / "file"
    with path.open("w+b") as file:
        assert write_at(file.fileno(), memoryview(data), 5000) == len(data)
        assert write_at(file.fileno(), data, 3) == len(data)
        drop_cached(file.fileno(), 0, 5000 + len(data))
    expected = bytearray(5000) + data
    expected[3 : 3 + len(data)] = data
    assert path.read_bytes() == expected


@pytest.mark.skipif(not hasattr(os, "RWF_DSYNC"), reason="writes take no flags here")
def test_a_filesystem_that_knows_no_such_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "pwritev", refuse)
    with (tmp_path / "file").open("w+b") as file:
        assert write_at(file.fileno(), LARGE, 7) == len(LARGE)
    assert (tmp_path / "file").read_bytes() == bytes(7) + LARGE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", refuse, raising=False)
    with Path("/dev/full").open("r+b", buffering=0) as file, pytest.raises(OSError, match="space"):
        write_at(file.fileno(), LARGE, 0)
