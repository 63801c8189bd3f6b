"""Only files are opened as files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tarkit.errors import LimitExceededError, MalformedError, PathNotFoundError, TarkitError
from tarkit.streams.files import open_regular, read_file


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert read_file(tmp_path / "x", 3) == b"abc"
    with pytest.raises(LimitExceededError):
        read_file(tmp_path / "x", 2)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        open_regular(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no fifos here")
def test_a_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(MalformedError, match="not a regular file"):
        open_regular(tmp_path / "x")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(TarkitError):
        open_regular(tmp_path)
