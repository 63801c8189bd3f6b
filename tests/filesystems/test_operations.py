"""The answers to the kernel, without a kernel; tests/conformance mounts for real."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tarkit.cli.app import run
from tarkit.errors import PathNotFoundError, RefusedError, UnsupportedError, UsageError
from tarkit.filesystems.mounting import fixed_location, require_fuse
from tarkit.filesystems.operations import ImageOperations
from tarkit.library.opened import OpenImage
from tarkit.rootfs.image_files import ImageFiles
from tests.rootfs.layers import (
    TIME,
    char,
    directory,
    fifo,
    file,
    hard,
    link,
    source_of,
    unaligned,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no FUSE of this kind")


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[ImageOperations]:
    layer = [
        directory("d", 0o1777),
        directory("d/e"),
        file("d/f", bytes(range(256)) * 1000, 0o4750, uid=3, gid=4, pax={"SCHILY.xattr.user.x": "y"}),
        hard("d/g", "d/f"),
        link("l", "/d/f"),
        char("null", 1, 3),
        fifo("pipe"),
        unaligned("sparse"),
        file("latin-\udce9"),
    ]  # fmt: skip
    with source_of(tmp_path, layer) as source, ImageFiles.of(source) as files:
        yield ImageOperations(files)


def test_attributes(operations: ImageOperations) -> None:
    found = operations.getattr("/d/f")
    assert found["st_mode"] == stat.S_IFREG | 0o4750
    assert (found["st_uid"], found["st_gid"], found["st_size"]) == (3, 4, 256_000)
    assert (found["st_nlink"], found["st_mtime"]) == (2, TIME * 10**9)
    assert found["st_ino"] == operations.getattr("/d/g")["st_ino"] > 0
    assert operations.getattr("/d")["st_nlink"] == 3
    assert operations.getattr("/d")["st_mode"] == stat.S_IFDIR | 0o1777
    assert operations.getattr("/null")["st_rdev"] == os.makedev(1, 3)
    assert stat.S_ISFIFO(operations.getattr("/pipe")["st_mode"])
    assert operations.getattr("/l")["st_mode"] == stat.S_IFLNK | 0o777
    assert operations.readlink("/l") == "/d/f"
    assert operations.getattr("/sparse")["st_blocks"] < operations.getattr("/sparse")["st_size"]


def test_directories_list_inodes_with_numbers(operations: ImageOperations) -> None:
    listed = {name: attributes["st_ino"] for name, attributes, _ in operations.readdir("/d", 0)}
    assert listed == {
        ".": operations.getattr("/d")["st_ino"],
        "..": operations.getattr("/")["st_ino"],
        "e": operations.getattr("/d/e")["st_ino"],
        "f": operations.getattr("/d/f")["st_ino"],
        "g": operations.getattr("/d/f")["st_ino"],
    }
    assert 0 not in listed.values()
    assert "latin-\udce9" in [name for name, _, _ in operations.readdir("/", 0)]


def test_files_are_read_at_any_offset(operations: ImageOperations) -> None:
    handle = operations.open("/d/f", os.O_RDONLY)
    content = bytes(range(256)) * 1000
    for offset, size in [(200_000, 4096), (0, 131_072), (255_990, 100), (300_000, 10)]:
        assert operations.read("/d/f", size, offset, handle) == content[offset : offset + size]
    assert operations.release("/d/f", handle) == 0
    assert operations.open("/d/f", os.O_RDONLY) != handle


def test_extended_attributes(operations: ImageOperations) -> None:
    assert operations.listxattr("/d/f") == ["user.x"]
    assert operations.getxattr("/d/f", "user.x") == b"y"
    assert operations.listxattr("/d") == []


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda o: o.getattr("/nothing"), errno.ENOENT),
        (lambda o: o.open("/nothing", os.O_RDONLY), errno.ENOENT),
        (lambda o: o.open("/d/f", os.O_RDWR), errno.EROFS),
        (lambda o: o.getxattr("/d/f", "user.none"), getattr(errno, "ENOATTR", errno.ENODATA)),
    ],
)
def test_errors_have_the_codes_of_the_kernel(
    operations: ImageOperations, call: Callable[[ImageOperations], Any], code: int
) -> None:
    with pytest.raises(OSError, match=rf"Errno {code}") as raised:
        call(operations)
    assert raised.value.errno == code


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setitem(sys.modules, "mfusepy", None)
    with pytest.raises(UnsupportedError, match=r"tarkit\[mount\]"):
        require_fuse(tmp_path)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules, empty = tmp_path / "modules", tmp_path / "empty"
    modules.mkdir()
    empty.mkdir()
    (modules / "mfusepy.py").write_text("raise OSError('Unable to find libfuse')")
    monkeypatch.syspath_prepend(modules)
    monkeypatch.delitem(sys.modules, "mfusepy", raising=False)
    monkeypatch.setattr(Path, "exists", lambda _: True)
    with pytest.raises(UnsupportedError, match="fuse3"):
        require_fuse(empty)


def test_a_system_without_fuse_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with pytest.raises(UnsupportedError, match="/dev/fuse"):
        require_fuse(tmp_path)


def test_the_location_stays_valid_in_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(fixed_location("oci:layout:app")) == f"oci:{tmp_path}/layout:app"
    assert str(fixed_location("docker://host.example/app:1")) == "docker://host.example/app:1"
    with pytest.raises(UsageError, match="pipe"):
        fixed_location("docker-archive:-")


def test_the_command_opens_the_image_and_mounts_it(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mounted: list[tuple[str, Path, bool]] = []

    def mount(image: OpenImage, directory: Path, *, foreground: bool) -> None:
        mounted.append((str(image.config.platform), directory, foreground))

    monkeypatch.setattr("tarkit.cli.mount.mount_image", mount)
    monkeypatch.setattr("tarkit.cli.mount.require_fuse", lambda _: None)
    location = f"oci:{corpus / 'crane-oci-multiarch'}"
    assert run(["mount", "--platform", "linux/arm64", location, str(tmp_path)]) == 0
    assert run(["mount", "-f", "-q", "--platform", "linux/amd64", location, str(tmp_path)]) == 0
    assert mounted == [("linux/arm64", tmp_path, False), ("linux/amd64", tmp_path, True)]
    assert capsys.readouterr().err == (
        f"tarkit: mounting at {tmp_path}; to unmount, run: fusermount3 -u {tmp_path}\n"
    )
    assert run(["mount", "docker-archive:-", str(tmp_path)]) == 2
    assert "pipe" in capsys.readouterr().err


def test_a_directory_with_files_is_not_hidden(fixtures: Path) -> None:
    with pytest.raises(RefusedError, match="not empty"):
        require_fuse(fixtures)


def test_a_missing_directory_is_not_found(
    fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PathNotFoundError):
        require_fuse(tmp_path / "none")
    assert run(["mount", str(fixtures / "hello.tar"), str(tmp_path / "none")]) == 3
    assert capsys.readouterr().err == f"tarkit: {tmp_path / 'none'}: not a directory\n"
