"""Subdirectories are spread on ext4; other filesystems see no difference."""

from __future__ import annotations

import errno
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tarkit.streams.directory import Directory
from tarkit.streams.spread import spread_out

fcntl = pytest.importorskip("fcntl")


@pytest.mark.skipif(shutil.which("lsattr") is None, reason="there is no lsattr")
def test_the_flag_of_chattr(tmp_path: Path) -> None:
    def flags() -> str:
        run = subprocess.run(["lsattr", "-d", tmp_path], capture_output=True, text=True)
        return run.stdout.split()[0] if run.stdout else ""

    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    if "ext" not in kind.stdout:
        pytest.skip(f"{kind.stdout.strip()} is no ext4")
    before = flags()
    with Directory.open(tmp_path) as directory:
        spread_out(directory)
    assert "T" not in before
    assert flags().replace("T", "-") == before
    assert "T" in flags()


def test_a_filesystem_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> bytes:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    with Directory.open(tmp_path) as directory:
        spread_out(directory)
    assert list(tmp_path.iterdir()) == []
