"""Removal of trees: deep ones, locked ones and ones with links that lead outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tarkit.errors import UnsafePathError
from tarkit.streams.directory import Directory
from tarkit.streams.removal import remove_tree
from tests.builders import listing


def remove(parent: Path, name: str) -> None:
    with Directory.open(parent) as outer, outer.open_directory(name) as directory:
        remove_tree(outer, name, directory)


def nest(top: Path, depth: int) -> None:
    """Nest *depth* directories with a file each below *top*, by moving: the path would be too long."""
    for _ in range(depth):
        outer = top.with_name("outer")
        outer.mkdir()
        (outer / "file").write_bytes(b"x")
        if top.exists():
            top.rename(outer / "inner")
        outer.rename(top)


def test_deeper_than_recursion_and_longer_than_any_path(tmp_path: Path) -> None:
    nest(tmp_path / "top", 3000)
    remove(tmp_path, "top")
    assert listing(tmp_path) == []


def test_a_link_is_not_the_directory_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("kept", target_is_directory=True)
    with pytest.raises(UnsafePathError):
        remove(tmp_path, "link")
    assert listing(tmp_path / "kept") == ["file"]
    assert (tmp_path / "link").is_symlink()


def test_links_are_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "below").mkdir(parents=True)
    top = tmp_path / "top"
    top.mkdir()
    (top / "out").symlink_to(kept, target_is_directory=True)
    (top / "dangling").symlink_to("nowhere")
    remove(tmp_path, "top")
    assert listing(tmp_path) == ["kept"]
    assert listing(kept) == ["below"]


def test_modes_do_not_prevent_removal(tmp_path: Path) -> None:
    locked = tmp_path / "top" / "locked" / "inner"
    locked.mkdir(parents=True)
    (locked / "file").write_bytes(b"x")
    locked.chmod(0)
    locked.parent.chmod(0)
    remove(tmp_path, "top")
    assert listing(tmp_path) == []


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    if os.name == "posix":
        (top / os.fsdecode(b"\xff\xfe")).mkdir()
    remove(tmp_path, "top")
    assert listing(tmp_path) == []


def test_a_replacement_of_the_same_name_stays(tmp_path: Path) -> None:
    (tmp_path / "top" / "below").mkdir(parents=True)
    with Directory.open(tmp_path) as outer, outer.open_directory("top") as directory:
        (tmp_path / "top").rename(tmp_path / "moved")
        (tmp_path / "top").mkdir()
        (tmp_path / "top" / "file").write_bytes(b"x")
        remove_tree(outer, "top", directory)
    assert listing(tmp_path / "top") == ["file"]
    assert listing(tmp_path / "moved") == []


def test_a_directory_swapped_for_a_link_on_the_way_down_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    (kept / "below").mkdir(parents=True)
    kept.chmod(0o755)
    (tmp_path / "top" / "swapped" / "below").mkdir(parents=True)
    (tmp_path / "top" / "swapped" / "file").write_bytes(b"x")
    really = os.open

    def swapping(path: bytes | str, *options: int, **more: int) -> int:
        if path == b"swapped" and (tmp_path / "top" / "swapped").is_dir():
            (tmp_path / "top" / "swapped").rename(tmp_path / "aside")
            (tmp_path / "top" / "swapped").symlink_to(kept)
        return really(path, *options, **more)

    with Directory.open(tmp_path) as outer, outer.open_directory("top") as directory:
        monkeypatch.setattr(os, "open", swapping)
        monkeypatch.setattr(os, "supports_dir_fd", {swapping})
        remove_tree(outer, "top", directory)
    assert listing(kept) == ["below"]
    assert (tmp_path / "aside" / "file").exists()


def test_a_directory_moved_while_it_is_emptied_ends_the_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parent is then another directory, from which nothing may be removed."""
    (tmp_path / "top" / "moved").mkdir(parents=True)
    (tmp_path / "elsewhere" / "moved" / "below").mkdir(parents=True)
    really = os.scandir

    def moving(path: int) -> object:
        if (tmp_path / "top" / "moved").exists() and os.path.samestat(
            os.fstat(path), (tmp_path / "top" / "moved").stat()
        ):
            (tmp_path / "top" / "moved").rename(tmp_path / "elsewhere" / "other")
        return really(path)

    with Directory.open(tmp_path) as outer, outer.open_directory("top") as directory:
        monkeypatch.setattr(os, "scandir", moving)
        remove_tree(outer, "top", directory)
    assert listing(tmp_path / "elsewhere") == ["moved", "other"]
    assert listing(tmp_path / "elsewhere" / "moved") == ["below"]
