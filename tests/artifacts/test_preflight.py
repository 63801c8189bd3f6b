"""Checks before a build starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tarkit.artifacts.build import build_ext4
from tarkit.artifacts.preflight import check_build
from tarkit.errors import (
    ImageNotFoundError,
    NoSpaceError,
    PathNotFoundError,
    RefusedError,
    UsageError,
)
from tarkit.ext4 import Ext4Options, Percent
from tarkit.image.platform import Platform
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.transports.location import open_source
from tests.artifacts.images import image, layout
from tests.builders import listing, multi_platform, named, noise, write_files
from tests.rootfs.layers import file, link

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return layout(tmp_path / "layout", image())


def test_the_result_has_stored_size_and_free_space(tmp_path: Path, source: str) -> None:
    found = check_build(source, tmp_path / "out")
    blobs = sorted(path.stat().st_size for path in (tmp_path / "layout/blobs/sha256").iterdir())
    assert found.compressed_size < sum(blobs)
    assert found.compressed_size > blobs[-1]
    assert found.free_space > 0
    assert listing(tmp_path) == ["layout"]


def test_the_directory_must_exist(tmp_path: Path, source: str) -> None:
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
    with pytest.raises(RefusedError, match="is not writable"):
        check_build(source, tmp_path / "out")


def leave_free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Make the system report *size* free bytes on any disk."""
    usage = shutil.disk_usage("/")._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


def test_the_top_layer_and_allocated_size_must_fit(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_source(source) as opened:
        needed = ImageLayers.of(opened).layers[-1].descriptor.size
    leave_free(monkeypatch, needed)
    check_build(source, tmp_path / "out", Ext4Options(size=1 << 30))
    with pytest.raises(NoSpaceError, match="at least 1073741824 bytes"):
        check_build(source, tmp_path / "out", Ext4Options(size=1 << 30, sparse=False))
    leave_free(monkeypatch, needed - 1)
    with pytest.raises(NoSpaceError, match=f"{needed - 1} are free"):
        check_build(source, tmp_path / "out")


def test_hidden_data_takes_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide it through a link, which only the merge can resolve, or by an overlay."""
    hidden = [
        [file("d/big", noise(300_000)), link("l", "d")],
        [file("l/.wh.big"), file("kept", "x")],
    ]
    source = layout(tmp_path / "layout", image(hidden))
    usual = build_ext4(source, tmp_path / "usual")
    leave_free(monkeypatch, 10_000)
    tight = build_ext4(source, tmp_path / "tight")
    assert tight.sha256 == usual.sha256
    assert tight.path.stat().st_blocks * 512 < 300_000
    one = layout(tmp_path / "one", image([[file("big", noise(300_000))]]))
    build_ext4(one, tmp_path / "removed", overlay=Overlay().remove("/big"))


def test_data_is_measured_before_writing_if_the_disk_is_tight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upper of two large layers hides the lower, so they need less than their size."""
    stack = [[file("a", noise(90_000))], [file(".wh.a"), file("b", noise(50_000, seed=2))]]
    source = layout(tmp_path / "layout", image(stack))
    usual = build_ext4(source, tmp_path / "usual")
    leave_free(monkeypatch, 60_000)
    assert build_ext4(source, tmp_path / "tight").sha256 == usual.sha256
    leave_free(monkeypatch, 53_000)
    with pytest.raises(
        NoSpaceError, match="at least 53248 bytes are needed, but only 53000 are free"
    ):
        build_ext4(source, tmp_path / "out")
    assert listing(tmp_path) == ["layout", "tight", "usual"]


def test_the_platform_must_exist(tmp_path: Path) -> None:
    made, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "index", made.finish(named(index, "app")))
    location = f"oci:{tmp_path / 'index'}"
    check_build(location, tmp_path / "out", platform=Platform.parse("linux/arm64"))
    with pytest.raises(ImageNotFoundError, match="linux/s390x"):
        check_build(location, tmp_path / "out", platform=Platform.parse("linux/s390x"))


def test_invalid_options_are_refused_on_creation() -> None:
    with pytest.raises(UsageError):
        Ext4Options(size=5)
    with pytest.raises(UsageError):
        Ext4Options(free=Percent(95))
    with pytest.raises(UsageError):
        Ext4Options(label="x" * 17)
