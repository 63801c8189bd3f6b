"""Compare two images."""

from __future__ import annotations

from pathlib import Path

from tarkit.rootfs.diff import Difference, DifferenceKind, diff
from tarkit.rootfs.filesystem import FileSystem
from tests.rootfs.layers import Item, char, directory, file, hard, link, source_of

OLD = [
    file("same", "x" * 2000),
    file("content", "one"),
    file("size", "one"),
    file("mode", "x"),
    file("time", "x"),
    file("owner", "x", uid=1),
    file("gone/a", "x"),
    link("link", "a"),
    char("dev", 1, 3),
    file("kind"),
    file("a", "x"),
    hard("b", "a"),
    file("marked", pax={"SCHILY.xattr.user.x": "1"}),
]
NEW = [
    file("same", "x" * 2000),
    file("content", "two"),
    file("size", "longer"),
    file("mode", "x", 0o755),
    file("time", "x", mtime=5),
    file("owner", "x", uid=2),
    directory("added"),
    file("added/b"),
    link("link", "b"),
    char("dev", 1, 5),
    directory("kind", 0o644),
    file("a", "x"),
    file("b", "x"),
    file("marked", pax={"SCHILY.xattr.user.x": "2"}),
]


def compared(
    tmp_path: Path, old: list[list[Item]], new: list[list[Item]], *, plain: bool = False
) -> list[Difference]:
    with (
        source_of(tmp_path / "old", *old) as before,
        source_of(tmp_path / "new", *new, compressed=not plain) as after,
        FileSystem.of(before) as old_files,
        FileSystem.of(after) as new_files,
    ):
        return diff(old_files, new_files)


def prepared(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    return tmp_path


def test_each_difference_is_reported_once(tmp_path: Path) -> None:
    found = compared(prepared(tmp_path), [OLD], [NEW])
    assert [(d.path, d.kind.value, d.fields) for d in found] == [
        ("/a", "metadata", ("links",)),
        ("/added", "added", ()),
        ("/added/b", "added", ()),
        ("/b", "metadata", ("links",)),
        ("/content", "changed", ("content",)),
        ("/dev", "changed", ("device",)),
        ("/gone", "removed", ()),
        ("/gone/a", "removed", ()),
        ("/kind", "changed", ("type",)),
        ("/link", "changed", ("target",)),
        ("/marked", "metadata", ("xattrs",)),
        ("/mode", "metadata", ("mode",)),
        ("/owner", "metadata", ("owner",)),
        ("/size", "changed", ("content",)),
        ("/time", "metadata", ("mtime",)),
    ]


def test_the_division_into_layers_does_not_matter(tmp_path: Path) -> None:
    cut = [OLD[:3], OLD[3:], [file("same", "x" * 2000)]]
    assert compared(prepared(tmp_path), [OLD], cut, plain=True) == []


def test_holes_are_zeros(tmp_path: Path) -> None:
    def sparse(size: int, data: str) -> Item:
        pax = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "s"}
        pax |= {"GNU.sparse.size": str(size), "GNU.sparse.map": f"4,{len(data)}"}
        return file("GNUSparseFile.0/s", data, pax=pax)

    new = [file("s", b"\0\0\0\0hi\0\0")]
    assert compared(prepared(tmp_path), [[sparse(8, "hi")]], [new]) == []


def test_a_changed_name_of_a_shared_inode_is_reported_for_that_name(tmp_path: Path) -> None:
    old = [file("a", "one"), file("b", "two")]
    found = compared(prepared(tmp_path), [old], [[file("a", "one"), hard("b", "a")]])
    kinds = {difference.path: difference.kind for difference in found}
    assert kinds == {"/a": DifferenceKind.METADATA, "/b": DifferenceKind.CHANGED}


def test_names_grouped_differently_are_different_links(tmp_path: Path) -> None:
    old = [file("a", "x"), file("b", "x"), hard("c", "a"), hard("d", "b")]
    new = [file("a", "x"), file("b", "x"), hard("c", "b"), hard("d", "a")]
    found = compared(prepared(tmp_path), [old], [new])
    assert [(each.path, each.fields) for each in found] == [
        (f"/{name}", ("links",)) for name in "abcd"
    ]
