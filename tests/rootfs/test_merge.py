"""The rules of the merge, each shown with the smallest possible layers."""

from __future__ import annotations

import pytest

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    PathNotFoundError,
    UnsafePathError,
    UnsupportedError,
)
from tarkit.rootfs.node import Node
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member, MemberType
from tests.rootfs.layers import Item, directory, file, hard, link, members, merge


def merged(*layers: list[Item], **options: bool) -> Tree:
    return merge([members(*layer) for layer in layers], **options)


def paths(tree: Tree) -> list[str]:
    return [path.decode() for path, _ in tree.walk() if path]


def at(tree: Tree, path: str) -> Node:
    return tree.find([part.encode() for part in path.split("/")], follow=False)


def origin(tree: Tree, path: str) -> int:
    """Return the number of the layer that contains *path*."""
    return at(tree, path).layer


BASE = [directory("d"), file("d/a", "a"), file("d/b", "b"), directory("d/sub"), file("d/sub/x")]


@pytest.mark.parametrize("order", [1, -1])
class TestWhiteouts:
    """Each test runs with the whiteout before and after the other entries."""

    def test_a_whiteout_hides_the_name_below(self, order: int) -> None:
        tree = merged(BASE, [file("d/.wh.a"), file("d/c")][::order])
        assert paths(tree) == ["d", "d/b", "d/c", "d/sub", "d/sub/x"]

    def test_it_hides_a_whole_directory(self, order: int) -> None:
        assert paths(merged(BASE, [file(".wh.d"), file("e")][::order])) == ["e"]

    def test_an_entry_added_again_in_its_layer_stays(self, order: int) -> None:
        tree = merged(BASE, [file("d/.wh.a"), file("d/a", "new")][::order])
        assert origin(tree, "d/a") == 1

    def test_a_directory_added_again_starts_empty(self, order: int) -> None:
        tree = merged(BASE, [file(".wh.d"), directory("d", 0o700)][::order])
        assert paths(tree) == ["d"]
        assert at(tree, "d").member.mode == 0o700

    def test_what_a_layer_adds_below_its_own_whiteout_stays(self, order: int) -> None:
        tree = merged([directory("d", 0o700), file("d/a")], [file(".wh.d"), file("d/c")][::order])
        assert paths(tree) == ["d", "d/c"]
        assert at(tree, "d").member.mode == 0o755  # no layer lists the new one

    def test_an_opaque_marker_hides_lower_entries_but_no_sibling(self, order: int) -> None:
        tree = merged(BASE, [file("d/.wh..wh..opq"), file("d/c"), directory("d/sub")][::order])
        assert paths(tree) == ["d", "d/c", "d/sub"]

    def test_an_opaque_root_hides_everything(self, order: int) -> None:
        assert paths(merged(BASE, [file(".wh..wh..opq"), file("new")][::order])) == ["new"]

    def test_markers_follow_links_of_the_layers_below(self, order: int) -> None:
        base = [directory("usr"), directory("usr/lib"), file("usr/lib/x"), file("usr/lib/y")]
        tree = merged([*base, link("lib", "usr/lib")], [file("lib/.wh.x"), file("z")][::order])
        assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/y", "z"]

    def test_a_whiteout_of_a_link_keeps_its_target(self, order: int) -> None:
        tree = merged([directory("usr"), link("lib", "usr")], [file(".wh.lib"), file("z")][::order])
        assert paths(tree) == ["usr", "z"]

    def test_an_opaque_directory_that_replaces_a_link_keeps_the_target(self, order: int) -> None:
        upper = [directory("lib"), file("lib/.wh..wh..opq"), file("lib/new")]
        tree = merged([directory("usr"), file("usr/kept"), link("lib", "usr")], upper[::order])
        assert "usr/kept" in paths(tree)
        assert "lib/new" in paths(tree) or order < 0


def test_a_whiteout_does_not_reach_into_the_layers_above() -> None:
    assert paths(merged([file("a")], [file(".wh.a")], [file("a")])) == ["a"]


def test_whiteouts_of_missing_paths_are_harmless() -> None:
    upper = [file(".wh.none"), file("no/.wh.none"), file("a/.wh.none"), file("no/.wh..wh..opq")]
    assert paths(merged([file("a")], upper)) == ["a"]


def test_aufs_metadata_is_hidden() -> None:
    layer = [file(".wh..wh.aufs"), directory(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file("a")]
    assert paths(merged(layer)) == ["a"]


def test_a_hard_link_into_aufs_own_directory_gets_its_file() -> None:
    tree = merged([file(".wh..wh.plnk/1.2", "data"), hard("a", ".wh..wh.plnk/1.2")])
    assert at(tree, "a").member.size == 4


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh."])
def test_a_whiteout_without_a_name_is_an_error(name: str) -> None:
    with pytest.raises(MalformedError, match="whiteout without a name"):
        merged(BASE, [file(name)])


def test_an_entry_below_a_whiteout_is_an_error() -> None:
    with pytest.raises(MalformedError, match="cannot contain entries"):
        merged([file(".wh.a/b")])


def test_a_link_cannot_introduce_the_name_of_a_whiteout() -> None:
    with pytest.raises(MalformedError, match="cannot contain entries"):
        merged([link("a", ".wh.b"), file("a/c")])


def test_an_entry_through_a_lower_link_is_stored_at_its_target() -> None:
    tree = merged([directory("usr/lib"), link("lib", "usr/lib")], [file("lib/foo")])
    assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/foo"]


@pytest.mark.parametrize("target", ["/usr/lib", "../../usr/lib", "usr/./lib/", "usr/lib/../lib"])
def test_links_are_resolved_inside_the_image(target: str) -> None:
    tree = merged([directory("usr/lib"), link("lib", target), file("lib/foo")])
    assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/foo"]


def test_a_dangling_link_leads_to_a_directory_made_for_it() -> None:
    tree = merged([link("a", "missing/../there"), file("a/b")])
    assert paths(tree) == ["a", "there", "there/b"]


def test_a_directory_in_a_links_place_replaces_it() -> None:
    tree = merged([directory("usr"), file("usr/x"), link("lib", "usr")], [directory("lib")])
    assert paths(tree) == ["lib", "usr", "usr/x"]
    assert at(tree, "lib").children == {}


def test_a_loop_of_links_is_refused() -> None:
    with pytest.raises(UnsafePathError, match="loop"):
        merged([link("a", "b"), link("b", "a"), file("a/c")])


def test_a_link_longer_than_any_system_follows_is_not_followed() -> None:
    layer = [Member(b"a", MemberType.SYMLINK, linkname=b"x/" * 4096), Member(b"a/b")]
    with pytest.raises(LimitExceededError):
        merge([layer])


def test_directory_file_directory_does_not_restore_the_first_children() -> None:
    tree = merged(BASE, [file("d", "file")], [directory("d"), file("d/new")])
    assert paths(tree) == ["d", "d/new"]


def test_a_directory_on_a_directory_changes_its_metadata_and_keeps_the_rest() -> None:
    tree = merged(BASE, [directory("d", 0o1777, uid=5)])
    assert (at(tree, "d").member.mode, at(tree, "d").member.uid) == (0o1777, 5)
    assert "d/sub/x" in paths(tree)


def test_unlisted_parents_have_default_metadata() -> None:
    tree = merge([members(file("a/b/c"))], mtime_ns=7)
    for path in ("a", "a/b"):
        meta = at(tree, path).member
        assert (meta.mode, meta.uid, meta.gid, meta.mtime_ns) == (0o755, 0, 0, 7)
    assert tree.root.member.mtime_ns == 7


def test_an_entry_below_a_file_replaces_it() -> None:
    assert paths(merged([file("a")], [file("a/b")])) == ["a", "a/b"]


def test_the_root_has_metadata_too() -> None:
    assert merged([directory("./", 0o700)]).root.member.mode == 0o700
    with pytest.raises(MalformedError, match="root"):
        merged([file(".")])
    assert merged([file("/", mode=0o700)]).root.member.mode == 0o700  # its name ends in a slash


@pytest.mark.parametrize("name", ["../../a", "/a", "./a", "x/../a", "//a", "/../a/"])
def test_names_stop_at_the_root(name: str) -> None:
    assert paths(merged([file(name)])) == ["a"]


@pytest.mark.parametrize("name", ["../a", "/a", "x/../../a"])
def test_names_that_leave_the_root_are_refused_if_strict(name: str) -> None:
    with pytest.raises(UnsafePathError):
        merged([file(name)], strict=True)


def test_hard_links_share_their_inode() -> None:
    tree = merged([file("a", "data"), hard("b", "a"), hard("c/d", "b")])
    assert at(tree, "a") == at(tree, "b") == at(tree, "c/d")
    assert at(tree, "a").links == 3


def test_a_link_may_come_before_its_target() -> None:
    tree = merged([hard("c", "b"), hard("b", "a"), file("a", "data")])
    assert at(tree, "a") == at(tree, "b") == at(tree, "c")


def sizes(tree: Tree, *names: str) -> list[int]:
    return [at(tree, name).member.size for name in names]


def test_a_link_refers_to_the_file_present_when_it_is_applied() -> None:
    old, link, new = file("a", "old"), hard("b", "a"), file("a", "newer")
    assert sizes(merged([old], [link, new]), "a", "b") == [5, 3]
    assert sizes(merged([old], [new, link]), "a", "b") == [5, 5]
    assert sizes(merged([old, link, new]), "a", "b") == [5, 3]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("whiteout", ["d/.wh.a", ".wh.d", "d/.wh..wh..opq", ".wh..wh..opq"])
def test_a_link_gets_the_file_that_its_layer_hides(whiteout: str, order: int) -> None:
    tree = merged([file("d/a", "old")], [hard("b", "d/a"), file(whiteout)][::order])
    assert sizes(tree, "b") == [3]
    assert at(tree, "b").links == 1


@pytest.mark.parametrize(
    "replacement",
    [file("d"), link("d", "e"), file("d/a", "newer"), directory("d/a"), file("d/a/x"), hard("d", "c")],
    ids=lambda item: f"{item.name}-{item.kind.decode()}",
)  # fmt: skip
def test_a_link_keeps_a_file_whose_path_its_layer_changes(replacement: Item) -> None:
    base = [file("d/a", "old"), file("e/a", "newer"), file("c", "c")]
    tree = merged(base, [hard("b", "d/a"), replacement])
    assert sizes(tree, "b") == [3]


@pytest.mark.parametrize("replacement", [file("d"), directory("d/a"), file("d/a/x")])
def test_a_link_to_a_path_that_is_gone_gets_the_file_of_the_layers_below(
    replacement: Item,
) -> None:
    tree = merged([file("d/a", "old")], [replacement, hard("b", "d/a")])
    assert sizes(tree, "b") == [3]


def test_a_link_may_replace_a_directory_on_the_way_to_its_target() -> None:
    assert paths(merged([file("d/a", "old")], [hard("d", "d/a")])) == ["d"]
    assert paths(merged([file("a", "old")], [hard("a/b", "a")])) == ["a", "a/b"]


def test_a_link_to_itself_changes_nothing() -> None:
    assert sizes(merged([file("a", "old")], [hard("a", "a")]), "a") == [3]


def test_a_link_waits_while_a_directory_is_in_the_place_of_its_target() -> None:
    tree = merged([directory("a")], [hard("b", "a"), file("a", "new")])
    assert at(tree, "b") == at(tree, "a")


def test_a_link_that_waits_hides_the_file_below() -> None:
    tree = merged([file("b", "old")], [hard("c", "b"), hard("b", "a"), file("a", "newer")])
    assert sizes(tree, "a", "b", "c") == [5, 5, 3]


def test_a_waiting_link_that_its_layer_removes_again_needs_no_target() -> None:
    assert paths(merged([hard("d/b", "none"), file("d")])) == ["d"]


def test_links_of_several_layers_to_one_name_are_of_different_files() -> None:
    tree = merged(
        [file("a", "1")],
        [hard("b", "a"), file("a", "22")],
        [file(".wh.a"), hard("c", "a"), file("a", "333")],
        [hard("d", "a")],
    )
    assert sizes(tree, "a", "b", "c", "d") == [3, 1, 2, 3]
    assert [at(tree, name).links for name in "abcd"] == [2, 1, 1, 2]


def test_a_link_into_a_lower_layer() -> None:
    tree = merged([file("a", "data")], [hard("b", "a")])
    assert at(tree, "b") == at(tree, "a")
    assert (at(tree, "b").layer, at(tree, "b").links) == (0, 2)


def test_a_lower_link_keeps_the_content_its_target_had() -> None:
    tree = merged([file("a", "old"), hard("b", "a")], [file("a", "newer")])
    assert (at(tree, "a").member.size, at(tree, "b").member.size) == (5, 3)
    assert (at(tree, "a").links, at(tree, "b").links) == (1, 1)


def test_a_link_survives_the_whiteout_of_its_target() -> None:
    tree = merged([file("a", "old"), hard("b", "a"), hard("c", "a")], [file(".wh.a")])
    assert paths(tree) == ["b", "c"]
    assert at(tree, "b").links == 2


def test_a_link_replaced_in_its_own_layer_is_gone() -> None:
    tree = merged([hard("b", "a"), file("b", "own"), file("a", "data")])
    assert (at(tree, "a").member.size, at(tree, "b").member.size) == (4, 3)
    assert at(tree, "a").links == 1


def test_a_hard_link_to_a_symbolic_one_is_that_link_itself() -> None:
    tree = merged([file("a"), link("b", "a"), hard("c", "b")])
    assert at(tree, "c").type is MemberType.SYMLINK


@pytest.mark.parametrize(
    "layer",
    [
        [hard("b", "none")],
        [hard("a", "a")],
        [hard("a", "b"), hard("b", "a")],
        [directory("d"), hard("b", "d")],
    ],
)
def test_hard_links_to_nothing_or_a_directory_are_refused(layer: list[Item]) -> None:
    with pytest.raises(MalformedError, match="hard link"):
        merged(layer)


def test_a_link_name_is_resolved_inside_the_image_too() -> None:
    tree = merged([file("usr/a", "x"), link("lib", "/usr"), hard("b", "/../lib/a")])
    assert at(tree, "b") == at(tree, "usr/a")


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="unknown type"):
        merge([[Member(b"a", MemberType.OTHER)]])


def test_the_last_of_two_entries_counts() -> None:
    assert at(merged([file("a", "1"), file("a", "22")]), "a").member.size == 2


def test_missing_paths_are_not_found() -> None:
    tree = merged([file("a"), link("b", "none")])
    for path in ("none", "a/x", "b"):
        with pytest.raises(PathNotFoundError):
            tree.find([part.encode() for part in path.split("/")])
        assert tree.get([part.encode() for part in path.split("/")]) is None


def test_depth_is_limited_and_needs_no_recursion() -> None:
    tree = merge([[Member(b"d/" * 4095 + b"f")]])
    assert sum(1 for _ in tree.walk()) == 4097
    with pytest.raises(LimitExceededError):
        merge([[Member(b"d/" * 5000 + b"f")]])


def test_links_do_not_lead_deeper_than_the_limit() -> None:
    deep = b"d/" * 1500
    layer = [Member(deep + b"x"), Member(b"l", MemberType.SYMLINK, linkname=deep)]
    step = Member(b"l/" + b"e/" * 3000 + b"x")
    with pytest.raises(LimitExceededError):
        merge([[*layer, step]])


def test_names_of_255_bytes_and_paths_over_4096_are_fine() -> None:
    name = b"/".join([b"n" * 255] * 20)
    tree = merge([[Member(name), Member(b"not-utf8-\xff")]])
    assert {path for path, _ in tree.walk()} >= {name, b"not-utf8-\xff"}
