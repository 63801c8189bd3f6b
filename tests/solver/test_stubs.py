"""Mount points that must not stay in a root filesystem."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.rootfs.chain import open_chain
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.solver.operations.stubs import Stubs

Pair = tuple[WritableFileSystem, WritableFileSystem]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Two equal root filesystems: before and after a process."""
    with (
        open_chain([], where="empty") as base,
        WritableFileSystem(base, tmp_path / "before") as before,
        WritableFileSystem(base, tmp_path / "after") as after,
    ):
        for files in (before, after):
            files.mkdir("/etc")
            files.mkdir("/real")
            files.symlink("/link", "real")
            files.write("/etc/passwd", b"root:x:0:0")
            files.utime("/etc", 5)
        yield before, after


def paths(files: WritableFileSystem) -> list[str]:
    return [entry.path for entry in files.walk()]


def test_empty_mount_points_are_removed_and_times_restored(pair: Pair) -> None:
    before, after = pair
    expected = paths(before)
    stubs = Stubs(before, ["/a/b/c", "/link/d"])
    after.mkdir("/a")
    after.mkdir("/a/b")
    after.mkdir("/a/b/c")
    after.mkdir("/real/d")
    after.write("/etc/hosts", b"")
    stubs.remove(after)
    assert paths(after) == expected
    assert after.stat("/etc").mtime_ns == 5


def test_files_of_the_process_stay(pair: Pair) -> None:
    before, after = pair
    stubs = Stubs(before, ["/a/b"])
    after.mkdir("/a")
    after.mkdir("/a/b")
    after.write("/a/file", b"")
    after.write("/etc/hosts", b"own")
    after.symlink("/etc/resolv.conf", "elsewhere")
    stubs.remove(after)
    assert {"/a/file", "/etc/hosts", "/etc/resolv.conf"} < set(paths(after))
    assert "/a/b" not in paths(after)
    assert after.stat("/etc").mtime_ns != 5


def test_existing_mount_points_are_no_stubs(pair: Pair) -> None:
    before, after = pair
    Stubs(before, ["/real"]).remove(after)
    assert "/real" in paths(after)
