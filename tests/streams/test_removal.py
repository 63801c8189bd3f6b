"""Trees that are removed: also the deep, the locked and those with links out of them."""

from __future__ import annotations

import os
from pathlib import Path

from tarkit.streams.directory import Directory
from tarkit.streams.removal import remove_tree
from tests.builders import listing


def remove(parent: Path, name: str) -> None:
    with Directory.open(parent) as directory:
        remove_tree(directory, name)


def nest(top: Path, depth: int) -> None:
    """Directories *depth* deep below *top*, a file in each; by moving, since no path could say it."""
    for _ in range(depth):
        outer = top.with_name("outer")
        outer.mkdir()
        (outer / "file").write_bytes(b"x")
        if top.exists():
            top.rename(outer / "inner")
        outer.rename(top)


def test_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove(tmp_path, "absent")
    assert listing(tmp_path) == []


def test_deeper_than_recursion_and_longer_than_any_path(tmp_path: Path) -> None:
    nest(tmp_path / "top", 3000)
    remove(tmp_path, "top")
    assert listing(tmp_path) == []


def test_a_link_is_not_the_directory_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("kept", target_is_directory=True)
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


def test_modes_do_not_keep_it(tmp_path: Path) -> None:
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
