"""Paths inside an image agree with pathlib on the same files."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import cast

import pytest

from tarkit.errors import PathNotFoundError, UnsupportedError
from tarkit.rootfs.image_files import ImageFiles
from tarkit.rootfs.image_path import ImagePath
from tests.rootfs.layers import directory, file, link, source_of

ITEMS = [
    directory("etc"),
    file("etc/motd", "Welcome.\r\n"),
    file("etc/data.tar.gz", b"\xff\x00"),
    file("etc/[x].txt", "brackets"),
    directory("usr/lib/[d]"),
    file("usr/lib/[d]/deep.txt", "deep"),
    link("lib", "usr/lib"),
    link("dangling", "nothing"),
    link("loop", "loop"),
]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[ImagePath]:
    with source_of(tmp_path, ITEMS) as source, ImageFiles.of(source) as files:
        yield files / "/"


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The same files on this machine."""
    top = tmp_path / "local"
    for item in ITEMS:
        path = top / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if item.target:
            path.symlink_to(item.target)
        elif item.name in ("etc", "usr/lib/[d]"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_bytes(item.data)
    return top


NAMES = [
    "", "etc", "etc/motd", "etc/data.tar.gz", "etc/[x].txt", "lib", "lib/[d]/deep.txt", "usr",
    "dangling", "loop", "nothing", "etc/motd/x", "lib/../lib/[d]",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_questions_have_the_answers_of_pathlib(root: ImagePath, local: Path, name: str) -> None:
    ours, theirs = root / name, local / name
    assert ours.is_dir() == theirs.is_dir()
    assert ours.is_file() == theirs.is_file()
    assert ours.is_symlink() == theirs.is_symlink()
    assert ours.exists() == (theirs.is_dir() or theirs.is_file())
    assert (ours.stem, ours.suffix) == (theirs.stem, theirs.suffix) or not name


@pytest.mark.parametrize("name", ["", "etc", "lib", "usr/lib/[d]"])
def test_directories_list_what_pathlib_lists(root: ImagePath, local: Path, name: str) -> None:
    ours = [str(path.relative_to(local)) for path in sorted((local / name).iterdir())]
    assert [str(path)[1:] for path in sorted((root / name).iterdir())] == ours


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("", "*/*"), ("etc", "*.txt"), ("lib/[d]", "*"), ("", "**/*.txt"), ("usr", "lib/*/deep.*")],
)
def test_patterns_match_what_pathlib_matches(
    root: ImagePath, local: Path, name: str, pattern: str
) -> None:
    theirs = {f"/{path.relative_to(local).as_posix()}" for path in (local / name).glob(pattern)}
    theirs = {path for path in theirs if not path.startswith("/lib/") or name.startswith("lib")}
    assert {str(path) for path in (root / name).glob(pattern)} == theirs
    assert root.rglob("*.txt") is not root.rglob("*.txt")


def test_a_walk_can_be_pruned(root: ImagePath) -> None:
    seen = []
    for path, directories, others in root.walk():
        seen.append((str(path), others))
        if path == root:
            directories.remove("usr")
    assert seen == [
        ("/", ["dangling", "lib", "loop"]),
        ("/etc", ["[x].txt", "data.tar.gz", "motd"]),
    ]


def test_files_open_as_text_and_bytes(root: ImagePath) -> None:
    motd = root / "etc/motd"
    with motd.open() as text, motd.open("rb") as data, motd.open(newline="") as exact:
        assert (text.read(), data.read(), exact.read()) == (
            "Welcome.\n",
            b"Welcome.\r\n",
            "Welcome.\r\n",
        )
    with motd.open("rb") as data:
        data.seek(-4, 2)
        assert data.read() == b"e.\r\n"
    with pytest.raises(UnsupportedError, match="read-only"):
        motd.open("w")  # type: ignore[call-overload]
    with pytest.raises(UnicodeDecodeError):
        (root / "etc/data.tar.gz").read_text()
    assert (root / "etc/data.tar.gz").read_text("latin-1") == "ÿ\0"


def test_links_are_read_and_resolved(root: ImagePath) -> None:
    lib = root / "lib"
    assert lib.readlink() == PurePosixPath("usr/lib")
    assert (lib / "[d]").resolve() == root / "usr/lib/[d]"
    assert lib.stat(follow_symlinks=False).target == "usr/lib"
    with pytest.raises(UnsupportedError, match="not a symbolic link"):
        (root / "etc").readlink()
    with pytest.raises(UnsupportedError, match="not a directory"):
        list((root / "etc/motd").iterdir())
    with pytest.raises(PathNotFoundError):
        (root / "nothing").read_text()


def test_paths_are_resources(root: ImagePath) -> None:
    resource = cast(Traversable, root / "etc" / "motd")
    assert isinstance(resource, Traversable)
    with importlib.resources.as_file(resource) as path:
        assert path.read_bytes() == b"Welcome.\r\n"


def test_files_answer_by_text(root: ImagePath) -> None:
    files = cast(ImageFiles, root._files)
    assert [entry.path for entry in files.iterdir("lib")] == ["/lib/[d]"]
    assert files.is_dir("lib")
    assert files.is_file("/etc/motd")
    assert files.is_symlink("/lib")
    assert not files.is_dir("nothing")
    assert files.readlink("lib") == "usr/lib"
    assert repr(files / "etc") == "ImagePath('/etc')"
