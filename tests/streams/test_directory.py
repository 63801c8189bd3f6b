"""Open directories: accessible under any name, and never left through a link."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import RefusedError, UnsafePathError
from tarkit.streams.directory import Directory
from tests.builders import copy, layout_of, leftovers, listing, make_image, write_files

posix_only = pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="there are only paths")


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "top").mkdir()
    with Directory.open(tmp_path / "top") as directory:
        yield directory


@pytest.fixture
def without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())


@posix_only
def test_a_renamed_directory_stays_accessible(tmp_path: Path, top: Directory) -> None:
    (tmp_path / "top").rename(tmp_path / "moved")
    (tmp_path / "top").mkdir()
    top.make("new").close()
    os.close(top.create("file"))
    assert listing(tmp_path / "moved") == ["file", "new"]
    assert listing(tmp_path / "top") == []
    assert top.reference.is_dir()


@posix_only
def test_a_closed_directory_is_not_reached_by_its_path(tmp_path: Path) -> None:
    directory = Directory.open(tmp_path)
    directory.close()
    directory.close()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        directory.create("file")
    assert listing(tmp_path) == []


def test_a_link_is_not_opened(top: Directory) -> None:
    (top.path / "link").symlink_to(".")
    with pytest.raises(UnsafePathError, match="a link"):
        top.open_directory("link")
    with pytest.raises(UnsafePathError, match="a link"):
        top.ensure("link")


@pytest.mark.parametrize("target", ["..", "../top/..", "/", "../nowhere", "/nowhere"])
def test_links_out_are_not_followed(top: Directory, target: str) -> None:
    (top.path / "link").symlink_to(target)
    with pytest.raises(UnsafePathError, match="leads out of 'top'"):
        top.open_inside("link")


@pytest.mark.parametrize("target", ["nowhere", "link", "other"])
def test_dangling_links_are_refused(top: Directory, target: str) -> None:
    (top.path / "link").symlink_to(target)
    (top.path / "other").symlink_to("link")
    with pytest.raises(UnsafePathError):
        top.open_inside("link")


@pytest.mark.parametrize("target", ["a/b", "./a/../a/b", "step"])
def test_links_inside_are_followed(top: Directory, target: str) -> None:
    (top.path / "a" / "b").mkdir(parents=True)
    (top.path / "step").symlink_to(top.path / "a" / "b")
    (top.path / "link").symlink_to(target)
    with top.open_inside("link") as found:
        os.close(found.create("file"))
    assert listing(top.path / "a" / "b") == ["file"]


@posix_only
def test_a_link_that_changes_concurrently_is_refused(
    tmp_path: Path, top: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "victim").mkdir()
    (top.path / "a").mkdir()
    really = os.path.realpath

    def swapping(path: str, **options: bool) -> str:
        found = really(path, **options)
        if str(path).endswith("/a"):
            (top.path / "a").rmdir()
            (top.path / "a").symlink_to(tmp_path / "victim")
        return str(found)

    monkeypatch.setattr(os.path, "realpath", swapping)
    with pytest.raises(UnsafePathError):
        top.open_inside("a")


def test_a_file_is_not_opened_as_a_directory(top: Directory) -> None:
    (top.path / "file").write_text("")
    with pytest.raises(RefusedError, match="not a directory"):
        top.open_inside("file")


@posix_only
@pytest.mark.parametrize("impostor", ["full", "link", "other owner"])
def test_a_replaced_new_directory_is_refused(
    tmp_path: Path, top: Directory, monkeypatch: pytest.MonkeyPatch, impostor: str
) -> None:
    if impostor == "other owner" and os.geteuid():
        pytest.skip("only root gives directories away")
    (tmp_path / "other" / "kept").mkdir(parents=True)
    (tmp_path / "other").chmod(0o700)
    really = os.mkdir

    def swapping(path: str, *options: int, **more: int) -> None:
        really(path, *options, **more)
        if path == "new":
            (top.path / "new").rename(top.path / "aside")
            if impostor == "full":
                (tmp_path / "other").rename(top.path / "new")
            elif impostor == "link":
                (top.path / "new").symlink_to(tmp_path / "other")
            else:
                really(top.path / "new")
                os.chown(top.path / "new", 12_345, 12_345)

    monkeypatch.setattr(os, "mkdir", swapping)
    with pytest.raises(RefusedError):
        top.make("new", 0o755)
    kept = next(tmp_path.rglob("kept")).parent
    if impostor != "other owner":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700


@posix_only
def test_new_entries_may_belong_to_another_user(
    top: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on vfat, and for files of root on NFS."""
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    top.make("new").close()
    assert listing(top.path) == ["new"]


@posix_only
def test_a_replaced_publication_is_refused(top: Directory) -> None:
    (top.path / "mine").write_text("mine")
    (top.path / "theirs").write_text("theirs")
    mine = (top.path / "mine").stat()
    with pytest.raises(RefusedError, match="replaced the new file"):
        top.publish("theirs", top, "result", expected=mine)
    top.publish("mine", top, "result", expected=mine)


@posix_only
def test_an_unreadable_directory_is_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.open

    def denied(path: object, flags: int, *options: int, **more: int) -> int:
        if not flags & os.O_PATH:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return really(path, flags, *options, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", denied)
        patch.setattr(os, "supports_dir_fd", {denied})
        directory = Directory.open(tmp_path)
    with directory:
        os.close(directory.create("file"))
        directory.sync()
    assert listing(tmp_path) == ["file"]


@pytest.mark.usefixtures("without_descriptors")
@pytest.mark.parametrize("kind", ["oci", "dir", "oci-archive"])
def test_paths_replace_descriptors_on_other_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for name in ("one", "two"):
        write_files(tmp_path / name, layout_of(make_image("base", name), name))
        out = f"{kind}:{tmp_path / 'out'}" + ("" if kind == "dir" else f":{name}")
        copy(f"oci:{tmp_path / name}", out)
        copy(out, f"oci:{tmp_path / 'again'}:{name}")
    assert leftovers(tmp_path) == []


@pytest.mark.usefixtures("without_descriptors")
def test_links_are_refused_on_other_systems(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    with Directory.open(tmp_path) as directory:
        with pytest.raises(UnsafePathError):
            directory.open_directory("link")
        (tmp_path / "file").write_text("")
        with pytest.raises(NotADirectoryError):
            directory.open_directory("file")
