"""What cannot work is said before the long work begins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tarkit.building import preflight
from tarkit.building.preflight import check_build
from tarkit.errors import (
    ImageNotFoundError,
    NoSpaceError,
    PathNotFoundError,
    RefusedError,
    UsageError,
)
from tarkit.ext4 import Ext4Options, Percent
from tarkit.image.platform import Platform
from tests.builders import listing, multi_platform, named, write_files
from tests.building.images import image, layout

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return layout(tmp_path / "layout", image())


def test_it_says_what_there_is_to_read_and_to_fill(tmp_path: Path, source: str) -> None:
    found = check_build(source, tmp_path / "out")
    blobs = sorted(path.stat().st_size for path in (tmp_path / "layout/blobs/sha256").iterdir())
    assert found.compressed_size < sum(blobs)
    assert found.compressed_size > blobs[-1]
    assert found.free_space > 0
    assert listing(tmp_path) == ["layout"]


def test_a_directory_must_be_there(tmp_path: Path, source: str) -> None:
    with pytest.raises(PathNotFoundError, match="no such directory"):
        check_build(source, tmp_path / "no" / "out")


def test_the_output_must_be_a_file(tmp_path: Path, source: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("layout", "link", "fifo"):
        with pytest.raises(RefusedError, match="not a regular file"):
            check_build(source, tmp_path / name)


def test_the_directory_must_be_writable(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(RefusedError, match="cannot be written to"):
        check_build(source, tmp_path / "out")


def test_there_must_be_room_for_the_layers_and_for_what_is_set_aside(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = check_build(source, tmp_path / "out").compressed_size
    monkeypatch.setattr(preflight, "free_space", lambda directory: needed)
    check_build(source, tmp_path / "out", Ext4Options(size=1 << 30))
    with pytest.raises(NoSpaceError, match="at least 1073741824 bytes"):
        check_build(source, tmp_path / "out", Ext4Options(size=1 << 30, sparse=False))
    monkeypatch.setattr(preflight, "free_space", lambda directory: needed - 1)
    with pytest.raises(NoSpaceError, match=f"{needed - 1} are free"):
        check_build(source, tmp_path / "out")


def test_the_platform_must_be_there(tmp_path: Path) -> None:
    made, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "index", made.finish(named(index, "app")))
    location = f"oci:{tmp_path / 'index'}"
    check_build(location, tmp_path / "out", platform=Platform.parse("linux/arm64"))
    with pytest.raises(ImageNotFoundError, match="linux/s390x"):
        check_build(location, tmp_path / "out", platform=Platform.parse("linux/s390x"))


def test_options_no_image_can_have_are_refused_as_they_are_made() -> None:
    with pytest.raises(UsageError):
        Ext4Options(size=5)
    with pytest.raises(UsageError):
        Ext4Options(free=Percent(95))
    with pytest.raises(UsageError):
        Ext4Options(label="x" * 17)
