"""A layout in an existing empty directory, such as a mount point: it is filled, not replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tarkit.blobs.writing import BlobWriter
from tarkit.transports.oci_layout import writer
from tests.builders import check_layout, copy, leftovers, listing, read_files


def test_an_empty_directory_becomes_the_layout(fixtures: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    before = directory.stat().st_ino
    copy(f"docker-archive:{fixtures / 'hello.tar'}", f"oci:{directory}:x")
    assert directory.stat().st_ino == before
    copy(f"docker-archive:{fixtures / 'hello.tar'}", f"oci:{tmp_path / 'new'}:x")
    assert listing(directory) == listing(tmp_path / "new")
    assert leftovers(tmp_path) == []


def test_the_working_directory_becomes_the_layout(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy(f"docker-archive:{fixtures / 'hello.tar'}", "oci:.:x")
    assert (tmp_path / "index.json").is_file()


@pytest.mark.parametrize("interrupted", ["adopt", "with_entries"])
def test_an_interrupted_copy_leaves_a_layout(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    directory = tmp_path / "out"
    directory.mkdir()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlobWriter if interrupted == "adopt" else writer, interrupted, interrupt)
        with pytest.raises(KeyboardInterrupt):
            copy(f"docker-archive:{fixtures / 'hello.tar'}", f"oci:{directory}:x")
    assert check_layout(read_files(directory))["manifests"] == []
    copy(f"docker-archive:{fixtures / 'hello.tar'}", f"oci:{directory}:x")
    assert len(check_layout(read_files(directory))["manifests"]) == 1


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
