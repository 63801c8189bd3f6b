"""A layout in a directory that is there and empty, as a mount point is: it is filled, not replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import copy, leftovers, listing


def test_an_empty_directory_becomes_the_layout(fixtures: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    before = directory.stat().st_ino
    copy(f"docker-archive:{fixtures / 'hello.tar'}", f"oci:{directory}:x")
    assert directory.stat().st_ino == before
    copy(f"docker-archive:{fixtures / 'hello.tar'}", f"oci:{tmp_path / 'new'}:x")
    assert listing(directory) == listing(tmp_path / "new")
    assert leftovers(tmp_path) == []


def test_the_working_directory_can_be_it(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy(f"docker-archive:{fixtures / 'hello.tar'}", "oci:.:x")
    assert (tmp_path / "index.json").is_file()


def test_several_writers_into_one_empty_directory(fixtures: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    command = [sys.executable, "-m", "tarkit", "copy", "-q", f"docker-archive:{fixtures}/hello.tar"]
    writers = [
        subprocess.Popen([*command, f"oci:{directory}:{n}"], env=os.environ) for n in range(4)
    ]
    assert [writer.wait() for writer in writers] == [0] * 4
    index = (directory / "index.json").read_text()
    assert all(f'"{n}"' in index for n in range(4))
    assert leftovers(tmp_path) == []
