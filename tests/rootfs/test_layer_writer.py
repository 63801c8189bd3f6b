"""Differences of trees as layers."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tarkit.errors import MalformedError, TarkitError
from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_changes import SECOND
from tarkit.rootfs.self_contained import is_self_contained
from tarkit.tar.member import MemberType
from tarkit.tar.reader import TarReader
from tests.rootfs.chains import difference, files_of, plain
from tests.rootfs.layers import (
    TIME,
    Item,
    block,
    char,
    directory,
    file,
    hard,
    link,
    members,
    pack,
    unaligned,
)
from tests.rootfs.stacks import layers, stacks

EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


def listed(old: FileSystem, new: FileSystem) -> list[str]:
    """Return the names in the layer from *old* to *new*, as the standard library reads them."""
    _, data = difference(old, new)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [member.name + "/" * member.isdir() for member in archive]


def names(lower: list[Item], upper: list[Item]) -> list[str]:
    return listed(files_of(lower), files_of(upper))


def facts(files: FileSystem) -> dict[str, Any]:
    """Return all that a layer keeps of *files*, by path; of the root only that it exists."""
    found: dict[str, Any] = {}
    for path, node in files.tree.walk():
        meta = node.member
        fact: tuple[Any, ...] = (meta.type,)
        if path:
            mode = None if meta.type is MemberType.SYMLINK else meta.mode
            time = None if meta.type is MemberType.DIRECTORY else meta.mtime_ns // SECOND
            device = (meta.devmajor, meta.devminor)
            fact += (mode, meta.uid, meta.gid, time, meta.linkname, device, dict(meta.xattrs))
        if meta.type is MemberType.FILE:
            with files.contents.open(node) as stream:
                fact += (stream.read(),)
        found[path.decode("utf-8", "surrogateescape")] = fact
    return found


BASE = [
    directory("d"), file("d/a", "a"), file("d/b", "b"), directory("e"), directory("e/f"),
    file("e/f/g", "g"), link("l", "d"), file("x", "x"),
]  # fmt: skip


def test_a_removed_path_is_a_whiteout_after_its_parents() -> None:
    upper = [item for item in BASE if item.name not in ("d/a", "x")]
    assert names(BASE, upper) == ["d/", "d/.wh.a", ".wh.x"]


def test_a_whiteout_is_an_empty_file_without_permissions_owner_and_time() -> None:
    written, data = difference(files_of(BASE), files_of([]))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        gone = archive.getmember(".wh.d")
    assert (gone.mode, gone.uid, gone.gid, gone.mtime, gone.size) == (0, 0, 0, 0, 0)
    assert (gone.type, gone.uname, gone.gname) == (tarfile.REGTYPE, "", "")
    assert len(written.listing) == 4  # nothing below what is gone


def test_a_directory_that_becomes_a_file_needs_no_whiteout() -> None:
    assert names(BASE, [*BASE, file("e", "now a file")]) == ["e"]


def test_a_file_or_link_that_becomes_a_directory_needs_no_whiteout() -> None:
    upper = [item for item in BASE if item.name not in ("l", "x")]
    upper += [directory("l"), file("l/in"), directory("x")]
    assert names(BASE, upper) == ["l/", "l/in", "x/"]


def test_a_directory_made_again_lists_what_it_lost() -> None:
    upper = [item for item in BASE if not item.name.startswith("d/")] + [file("d/new")]
    assert names(BASE, upper) == ["d/", "d/.wh.a", "d/.wh.b", "d/new"]


def test_parents_have_the_attributes_of_the_new_tree() -> None:
    upper = [*BASE, directory("e", 0o700, uid=7, mtime=9), file("e/f/new")]
    written, _ = difference(files_of(BASE), files_of(upper))
    top, below, _ = written.listing
    assert (top.name, top.mode, top.uid, top.mtime_ns) == (b"e/", 0o700, 7, 9 * SECOND)
    assert (below.name, below.mode) == (b"e/f/", 0o755)


@pytest.mark.parametrize(
    "upper",
    [
        BASE,
        [*BASE, directory("d", mtime=5)],
        [*BASE, directory("./", 0o700)],
        [*BASE, file("x", "x", mtime=TIME + 0.5)],  # layers have whole seconds
        [*BASE, Item("l", tarfile.SYMTYPE, target="d", mode=0o700)],
    ],
)
def test_a_layer_without_a_change_is_the_empty_tar(upper: list[Item]) -> None:
    written, data = difference(files_of(BASE), files_of(upper))
    assert (str(written.diff_id), written.size, len(written.listing)) == (EMPTY, 1024, 0)
    assert data == bytes(1024)


@pytest.mark.parametrize(
    "item",
    [
        file("x", "y"),  # the same size and time
        file("x", "x", 0o600),
        file("x", "x", mtime=1),
        file("x", "x", gid=5),
        file("x", "x", pax={"SCHILY.xattr.user.k": "v"}),
        link("x", "a"),
        char("x", 1, 3),
        block("x", 1, 3),
        unaligned("x"),
    ],
)
def test_a_changed_file_is_in_the_layer(item: Item) -> None:
    lower, upper = files_of(BASE), files_of([*BASE, item])
    written, data = difference(lower, upper)
    assert listed(lower, upper) == ["x"]
    assert facts(files_of(pack(BASE), data)) == facts(upper)
    assert is_self_contained(written.listing)


def test_hard_links_of_one_layer_stay_links() -> None:
    upper = [*BASE, file("n", "n"), hard("d/n", "n"), hard("d/x", "x")]
    written, data = difference(files_of(BASE), files_of(upper))
    kinds = [(member.name, member.type, member.linkname) for member in written.listing]
    assert kinds == [
        (b"d/", MemberType.DIRECTORY, b""),
        (b"d/n", MemberType.FILE, b""),
        (b"d/x", MemberType.FILE, b""),  # its other name is not in the layer
        (b"n", MemberType.HARDLINK, b"d/n"),
    ]
    merged = files_of(pack(BASE), data)
    assert facts(merged) == facts(files_of(upper))
    assert merged.stat("n").links == 2


def test_long_names_and_attributes_take_pax_headers_and_nothing_else_does() -> None:
    _, short = difference(files_of([]), files_of([file("a", mtime=1.5)]))
    assert len(short) == 3 * 512
    upper = files_of([file("n" * 200, "x", pax={"SCHILY.xattr.user.k": "v"}, uid=1 << 22)])
    _, data = difference(files_of([]), upper)
    assert facts(files_of(data)) == facts(upper)


def test_the_listing_is_that_of_the_written_tar() -> None:
    upper = [*BASE, unaligned("s"), hard("h", "x"), file("n" * 200, "x"), char("c", 1, 3)]
    written, data = difference(files_of([]), files_of(upper))
    assert list(written.listing) == list(TarReader(io.BytesIO(data)))
    assert (written.diff_id, written.size) == (Digest.of(data), len(data))


def test_a_fork_of_a_tree_is_compared_without_reading() -> None:
    from tarkit.rootfs.chain import ChainLayer, open_chain

    def never() -> Any:
        raise AssertionError("a layer was opened")

    base = plain(pack(BASE))
    lower = open_chain([ChainLayer(base.diff_id, base.size, base.listing, never)])
    upper = open_chain([plain(pack([file("d/.wh.a")]))], base=lower)
    assert listed(lower, upper) == ["d/", "d/.wh.a"]


def test_a_name_like_a_whiteout_is_refused() -> None:
    lower = files_of(BASE)
    upper = files_of(BASE)
    row = upper.tree.top.entries[b"x"]
    upper.tree.top.entries[b".wh.y"] = row
    with pytest.raises(MalformedError, match="whiteout"):
        difference(lower, upper)


@given(stacks(), stacks())
@settings(deadline=None)
def test_merging_a_difference_gives_the_upper_tree(
    below: list[list[Item]], above: list[list[Item]]
) -> None:
    try:
        lower, upper = files_of(*below), files_of(*above)
    except TarkitError:
        assume(False)
    written, data = difference(lower, upper)
    assert is_self_contained(written.listing)
    merged = files_of(*below, data)
    assert facts(merged) == facts(upper)
    assert difference(merged, upper)[1] == bytes(1024)


@given(stacks(), layers())
@settings(deadline=None)
def test_a_rewritten_layer_has_the_same_effect(below: list[list[Item]], top: list[Item]) -> None:
    try:
        lower = files_of(*below)
        upper = files_of(*below, top)
    except TarkitError:
        assume(False)
    written, data = difference(lower, upper)
    assert is_self_contained(written.listing)
    assert facts(files_of(*below, data)) == facts(upper)


@given(layers(), stacks(), stacks())
@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_self_contained_layer_looks_the_same_on_all_others(
    layer: list[Item], first: list[list[Item]], second: list[list[Item]]
) -> None:
    """Whatever such a layer lists is as it says, regardless of the layers below."""
    assume(is_self_contained(plain(pack(layer)).listing))
    seen = []
    for below in (first, second):
        try:
            files_of(*below)
        except TarkitError:
            assume(False)
        merged = facts(files_of(*below, layer))
        seen.append({item.name: merged.get(item.name) for item in layer})
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ([], True),
        ([directory("./"), directory("./a"), file("./a/b")], True),
        ([directory("a"), file("a/.wh.b"), file(".wh.c")], True),
        ([file("a"), hard("b", "./a")], True),
        ([file("a/b")], False),
        ([file("a/b"), directory("a")], False),
        ([hard("b", "a")], False),
        ([hard("b", "a"), file("a")], False),
        ([link("a", "b"), file("a/c")], False),
        ([directory("a"), file("a/.wh..wh..opq")], False),
        ([file("a"), file("a")], False),
        ([file("../a")], False),
        ([file("/a")], False),
        ([directory("a"), hard("b", "a")], False),
        ([file(".wh..wh.plnk/1")], False),
    ],
)
def test_layers_that_refer_to_others(layer: list[Item], expected: bool) -> None:
    assert is_self_contained(plain(pack(layer)).listing) is expected
    assert len(members(*layer)) == len(layer)
