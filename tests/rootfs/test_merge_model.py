"""The merge against a plain model, on random stacks of layers."""

from __future__ import annotations

from hypothesis import example, given, settings

from tarkit.errors import TarkitError
from tarkit.rootfs.node import Node
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import MemberType
from tests.rootfs.layers import Item, directory, file, hard, link, members, merge
from tests.rootfs.model import Inode, Model, RefusedByModelError
from tests.rootfs.stacks import stacks

Shape = list[tuple[str, str, object, list[str]]]


def expected(stack: list[list[Item]]) -> Shape | None:
    model = Model()
    try:
        for layer in stack:
            model.apply(layer)
    except RefusedByModelError:
        return None
    return shape_of_model(model)


def shape_of_model(model: Model) -> Shape:
    names: dict[int, list[str]] = {}
    for path, inode in sorted(model.inodes.items()):
        names.setdefault(id(inode), []).append("/".join(path))
    return sorted(shape_of_inode("/".join(p), i, names[id(i)]) for p, i in model.inodes.items())


def shape_of_inode(path: str, inode: Inode, names: list[str]) -> tuple[str, str, object, list[str]]:
    return path, inode.kind, len(inode.value) if inode.kind == "file" else inode.value, names  # type: ignore[arg-type]


def actual(stack: list[list[Item]]) -> Shape | None:
    try:
        tree = merge([members(*layer) for layer in stack])
    except TarkitError:
        return None
    return shape_of(tree)


def shape_of(tree: Tree) -> Shape:
    names: dict[Node, list[str]] = {}
    for path, node in tree.walk():
        names.setdefault(node, []).append(path.decode())
    shape = []
    for path, node in tree.walk():
        same = sorted(names[node], key=lambda name: name.split("/"))
        assert node.links == len(same)
        shape.append((path.decode(), *kind_and_value(node), same))
    return sorted(shape)


def kind_and_value(node: Node) -> tuple[str, object]:
    match node.type:
        case MemberType.DIRECTORY:
            return "dir", node.member.mode
        case MemberType.SYMLINK:
            return "link", node.member.linkname.decode()
        case _:
            return "file", node.member.size


@settings(max_examples=400)
@given(stacks())
@example([[file("a", "x"), hard("b", "a")], [file("a", "yy"), file("c/.wh.b"), hard("b", "a")]])
@example([[link("a", "b"), directory("b")], [file("a/.wh..wh..opq"), directory("a"), file("a/c")]])
def test_the_merge_agrees_with_the_model(stack: list[list[Item]]) -> None:
    assert actual(stack) == expected(stack)
