"""Test requests for files of a result, with links, ranges and patterns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tarkit import llb
from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    PathNotFoundError,
    RefusedError,
    UnsafePathError,
    UnsupportedError,
)
from tarkit.gateway import (
    Builder,
    Client,
    FileRange,
    ReadDirRequest,
    ReadRequest,
    Reference,
    StatRequest,
)
from tarkit.gateway.local.files import LARGEST
from tests.gateway.conftest import Ask

TREE = llb.scratch().file(
    llb.mkdir("/d", mode=0o755)
    .mkfile("/d/ä.txt", "0123456789", mode=0o640)
    .mkfile("/d/b.md", "b")
    .symlink("/d/b.md", "/d/absolute")
    .symlink("../../..", "/d/up")
    .symlink("loop", "/d/loop")
)

Tree = Callable[[Callable[[Reference], Any]], Any]


@pytest.fixture
def tree(ask: Ask) -> Tree:
    """Return a function that asks a reference to the tree."""

    def call(question: Callable[[Reference], Any]) -> Any:
        def of_client(client: Client) -> Any:
            ref = client.solve(TREE).single_ref()
            assert ref is not None
            return question(ref)

        return ask(of_client)

    return call


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/d/ä.txt", b"0123456789"),
        ("d/b.md", b"b"),
        ("/d/absolute", b"b"),
        ("/d/up/d/b.md", b"b"),
        ("/../../d/b.md", b"b"),
    ],
)
def test_a_file_is_read_inside_the_root(tree: Tree, path: str, data: bytes) -> None:
    assert tree(lambda ref: ref.read_file(path)) == data


@pytest.mark.parametrize(
    ("offset", "length", "data"),
    [(2, 3, b"234"), (8, 100, b"89"), (100, 1, b""), (0, 0, b""), (0, 10, b"0123456789")],
)
def test_a_part_of_a_file(tree: Tree, offset: int, length: int, data: bytes) -> None:
    request = ReadRequest("/d/ä.txt", FileRange(offset, length))
    assert tree(lambda ref: ref.read_file(request)) == data


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/none", PathNotFoundError),
        ("/d/b.md/x", PathNotFoundError),
        ("/d", UnsupportedError),
        ("", UnsupportedError),
        ("/d/loop", UnsafePathError),
    ],
)
def test_files_that_cannot_be_read(tree: Tree, path: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        tree(lambda ref: ref.read_file(path))


def test_a_large_file_is_read_in_parts(builder: Builder, context: Path) -> None:
    with (context / "large").open("wb") as file:
        file.truncate(LARGEST + 1)
        file.seek(LARGEST)
        file.write(b"x")

    def build(client: Client) -> None:
        ref = client.solve(llb.local("context")).single_ref()
        assert ref is not None
        with pytest.raises(LimitExceededError, match="read it in parts"):
            ref.read_file("/large")
        assert ref.read_file(ReadRequest("/large", FileRange(LARGEST - 1, 99))) == b"\0x"

    builder.build(build, local={"context": context})


def test_facts_about_a_file(tree: Tree) -> None:
    stat = tree(lambda ref: ref.stat_file(StatRequest("/d/absolute")))
    assert (stat.path, stat.size, f"{stat.mode:o}", stat.linkname) == ("b.md", 1, "644", "")
    assert not stat.is_dir
    directory = tree(lambda ref: ref.stat_file("d"))
    assert (directory.path, directory.size, directory.permissions) == ("d", 0, 0o755)
    assert directory.mode == 1 << 31 | 0o755
    assert directory.is_dir
    root = tree(lambda ref: ref.stat_file("/d/up"))
    assert (root.path, root.is_dir) == ("", True)
    with pytest.raises(PathNotFoundError):
        tree(lambda ref: ref.stat_file("/d/none"))


def test_special_bits_have_the_numbers_of_go(builder: Builder, context: Path) -> None:
    (context / "a.txt").chmod(0o4755)
    (context / "sticky").mkdir()
    (context / "sticky").chmod(0o1777)
    (context / "sticky").chmod(0o3777)

    def build(client: Client) -> None:
        ref = client.solve(llb.local("context")).single_ref()
        assert ref is not None
        assert ref.stat_file("a.txt").mode == 1 << 23 | 0o755
        stat = ref.stat_file("sticky")
        assert stat.mode == 1 << 31 | 1 << 22 | 1 << 20 | 0o777
        assert (stat.permissions, stat.is_symlink) == (0o3777, False)

    builder.build(build, local={"context": context})


def test_a_directory_is_listed_by_name(tree: Tree) -> None:
    names = [each.path for each in tree(lambda ref: ref.read_dir("/d"))]
    assert names == ["absolute", "b.md", "loop", "up", "ä.txt"]
    (link, *_) = tree(lambda ref: ref.read_dir("d"))
    assert (link.linkname, link.is_symlink, link.size) == ("/d/b.md", True, 7)
    assert tree(lambda ref: ref.read_dir("/d/up")) == []  # a link is not entered
    assert [each.path for each in tree(lambda ref: ref.read_dir("/d/up/d/../.."))] == ["d"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.md", ["b.md"]), ("?.txt", ["ä.txt"]), ("up", ["up"]), ("x*", []), ("", 5)],
)
def test_a_pattern_selects_names(tree: Tree, pattern: str, names: list[str] | int) -> None:
    found = [each.path for each in tree(lambda ref: ref.read_dir(ReadDirRequest("/d", pattern)))]
    assert found == names or len(found) == names


@pytest.mark.parametrize(
    ("path", "pattern", "kind"),
    [
        ("/none", "", PathNotFoundError),
        ("/d/b.md", "", RefusedError),
        ("/d", "[", MalformedError),
    ],
)
def test_directories_that_cannot_be_listed(
    tree: Tree, path: str, pattern: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        tree(lambda ref: ref.read_dir(ReadDirRequest(path, pattern)))
