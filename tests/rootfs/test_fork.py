"""Forks of a tree: shared until one of them changes."""

from __future__ import annotations

from hypothesis import given

from tarkit.errors import TarkitError
from tarkit.rootfs.changes import changes
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.tree import Tree
from tests.rootfs.layers import Item, directory, file, hard, link, members, merge
from tests.rootfs.stacks import layers, stacks
from tests.rootfs.test_merge_model import shape_of

BASE = [directory("a"), file("a/x"), directory("a/b"), file("a/b/y"), directory("c"), file("c/z")]


def on(tree: Tree, layer: list[Item]) -> Tree:
    """Merge *layer* into *tree* itself."""
    merger = Merger(tree=tree)
    merger.add(9, members(*layer))
    merger.count_links()
    return tree


def paths(old: Tree, new: Tree) -> list[str]:
    return [path.decode() for path, _, _ in changes(old, new, lambda a, b: a == b)]


def test_a_fork_and_its_base_share_all_directories() -> None:
    base = merge([members(*BASE)])
    assert base.fork().top is base.top
    assert paths(base, base.fork()) == []


def test_a_change_of_the_fork_copies_only_the_directories_on_the_way() -> None:
    base = merge([members(*BASE)])
    before = shape_of(base)
    fork = on(base.fork(), [file("a/b/new"), file("a/.wh.x")])
    assert shape_of(base) == before
    assert paths(base, fork) == ["a/b/new", "a/x"]
    assert fork.top.entries[b"c"] is base.top.entries[b"c"]
    assert fork.top.entries[b"a"] is not base.top.entries[b"a"]


def test_a_change_of_the_base_does_not_reach_the_fork() -> None:
    base = merge([members(*BASE)])
    fork = base.fork()
    before = shape_of(fork)
    on(base, [file("a/b/.wh..wh..opq"), directory("c", 0o700), directory("./", 0o700)])
    assert shape_of(fork) == before


def test_a_change_through_a_link_copies_the_target() -> None:
    base = merge([members(*BASE, link("l", "a/b"))])
    fork = on(base.fork(), [file("l/new"), file("l/.wh.y")])
    assert paths(base, fork) == ["a/b/new", "a/b/y"]


def test_links_are_counted_for_each_fork() -> None:
    base = merge([members(*BASE, hard("h", "a/x"))])
    fork = on(base.fork(), [file(".wh.h")])
    assert (base.get([b"a", b"x"]).links, fork.get([b"a", b"x"]).links) == (2, 1)  # type: ignore[union-attr]


@given(stacks(), layers())
def test_a_layer_on_a_fork_gives_the_same_tree_as_without(
    stack: list[list[Item]], top: list[Item]
) -> None:
    try:
        expected = shape_of(merge([members(*layer) for layer in [*stack, top]]))
    except TarkitError:
        return
    base = merge([members(*layer) for layer in stack])
    before = shape_of(base)
    assert shape_of(on(base.fork(), top)) == expected
    assert shape_of(base) == before
