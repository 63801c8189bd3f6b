"""A model that extracts layers entry by entry, as umoci does, and random stacks to test it with."""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from random import Random

from tests.rootfs.layers import Item, directory, file, hard, link, pack
from tests.rootfs.model import Inode, Model, Path, RefusedByModelError

OPAQUE = ".wh..wh..opq"

Stack = list[list[Item]]


class InOrder(Model):
    """Whiteouts take effect in the order of entries, but spare files of their own layer."""

    def apply(self, layer: Sequence[Item]) -> None:
        self.begin_layer()
        for item in layer:
            self.add(item)

    def begin_layer(self) -> None:
        self.touched: set[Path] = {()}

    def add(self, item: Item) -> None:
        """Apply *item*, or raise RefusedByModelError and change nothing."""
        *parts, name = item.name.split("/")
        parent = self.resolve(tuple(parts))
        if name.startswith(".wh."):
            self.white_out(parent, name)
            return
        path = (*parent, name)
        inode = self.inode_for(path, item)
        for length in range(1, len(path)):
            self.inodes.setdefault(path[:length], Inode("dir", 0o755))
        if not (item.kind == tarfile.DIRTYPE and self.kind(path) == "dir"):
            self.remove(path)
        self.inodes[path] = inode
        self.touched |= {path[:length] for length in range(1, len(path) + 1)}

    def white_out(self, parent: Path, name: str) -> None:
        top = parent if name == OPAQUE else (*parent, name.removeprefix(".wh."))
        for path in [each for each in self.inodes if each[: len(top)] == top]:
            if path not in self.touched and not (name == OPAQUE and path == top):
                self.remove(path)

    def inode_for(self, path: Path, item: Item) -> Inode:
        if any(self.kind(path[:at]) not in ("dir", None) for at in range(1, len(path))):
            raise RefusedByModelError
        if item.kind == tarfile.DIRTYPE:
            return Inode("dir", item.mode)
        if item.kind != tarfile.LNKTYPE:
            return self.new_inode(item)
        before = dict(self.inodes)
        self.remove(path)  # umoci looks up the target after the removal
        try:
            target = self.lookup(item.target)
        finally:
            self.inodes = before
        if target is None or target.kind == "dir":
            raise RefusedByModelError
        return target


def random_stack(random: Random) -> Stack:
    """Return layers that umoci extracts: links, whiteouts and replacements in any order."""
    model = InOrder()
    stack: Stack = []
    for number in range(random.randint(2, 4)):
        model.begin_layer()
        layer: list[Item] = []
        for _ in range(random.randint(2, 8)):
            with contextlib.suppress(RefusedByModelError):
                item = _random_item(random, model, is_lowest=number == 0)
                model.add(item)
                layer.append(item)
        stack.append(layer)
    return stack


def depends_on_whiteout_order(stack: Stack) -> bool:
    """Return whether umoci's result depends on the position of whiteouts in their layers.

    Layers are sets of changes (image-spec, layer.md), so tarkit applies whiteouts first. In umoci
    earlier entries affect a whiteout: links on its path may be new or replaced, and an earlier entry
    may use a link that is hidden later. Hard links are treated as the files they refer to.
    """
    plain = _without_hard_links(stack)
    early = [sorted(layer, key=lambda item: not _is_whiteout(item)) for layer in plain]
    try:
        return _shapes(plain) != _shapes(early)
    except RefusedByModelError:
        return True


def hides_through_replaced_link(stack: Stack) -> bool:
    """Return whether a whiteout is below a link that its own layer replaces by a directory.

    In tarkit it applies to the directory in any order, in umoci only if the directory comes first.
    """
    model = InOrder()
    for layer in stack:
        listed = {item.name for item in layer if item.kind == tarfile.DIRTYPE}
        links = {"/".join(path) for path, inode in model.inodes.items() if inode.kind == "link"}
        for item in filter(_is_whiteout, layer):
            if any(item.name.startswith(f"{name}/") for name in listed & links):
                return True
        model.apply(layer)
    return False


def _is_whiteout(item: Item) -> bool:
    return ".wh." in item.name


def _shapes(stack: Stack) -> list[dict[Path, tuple[str, object]]]:
    """Return the contents of the model after each layer."""
    model = InOrder()
    shapes = []
    for layer in stack:
        model.apply(layer)
        shapes.append({path: (i.kind, i.value) for path, i in model.inodes.items()})
    return shapes


def _without_hard_links(stack: Stack) -> Stack:
    model = InOrder()
    result = []
    for layer in stack:
        model.begin_layer()
        result.append([_as_file(model, item) for item in layer])
    return result


def _as_file(model: InOrder, item: Item) -> Item:
    """Add *item* to *model*, and return a copy of what it refers to if it is a hard link."""
    found = model.lookup(item.target) if item.kind == tarfile.LNKTYPE else None
    model.add(item)
    if found is None:
        return item
    if found.kind == "link":
        return link(item.name, str(found.value))
    return file(item.name, bytes(found.value))  # type: ignore[call-overload]


def _random_item(random: Random, model: InOrder, *, is_lowest: bool) -> Item:
    path = _random_path(random)
    kinds = ["file", "hard", "directory", "link"]
    kinds += ["file"] * 2 if is_lowest else ["hard", "hard", "whiteout", "whiteout", "opaque"]
    match random.choice(kinds):
        case "file":
            return file(path, random.randbytes(random.randint(0, 9)))
        case "hard":
            files = ["/".join(p) for p, i in model.inodes.items() if i.kind in ("file", "link")]
            return hard(path, random.choice([*files, _random_path(random)]))
        case "directory":
            return directory(path)
        case "link":
            return link(path, _random_target(random))
        case "whiteout":
            parent, _, name = path.rpartition("/")
            return file(f"{parent}/.wh.{name}" if parent else f".wh.{name}")
        case _:
            return file(f"{path}/{OPAQUE}")


def _random_path(random: Random) -> str:
    return "/".join(random.choices("abc", k=random.choice([1, 1, 2, 2, 3])))


def _random_target(random: Random) -> str:
    """Return where a link leads; hard links to it may be anywhere, and must not lead to the root."""
    return random.choice(["", "/", "a/../", "/b/../"]) + _random_path(random)


def side_by_side(stacks: Sequence[Stack]) -> list[bytes]:
    """Return the layers of one image that has each of *stacks* in a directory named by its number."""
    moved = [_below(str(number), stack) for number, stack in enumerate(stacks)]
    layers: Iterator[Sequence[list[Item]]] = zip_longest(*moved, fillvalue=[])
    return [pack([item for layer in nth for item in layer]) for nth in layers]


def _below(prefix: str, stack: Stack) -> Stack:
    """Return *stack* moved into the directory *prefix*."""

    def move(item: Item) -> Item:
        target = item.target
        if item.kind == tarfile.LNKTYPE:
            target = f"{prefix}/{target}"
        elif target.startswith("/"):
            target = f"/{prefix}{target}"
        return replace(item, name=f"{prefix}/{item.name}", target=target)

    return [[move(item) for item in layer] for layer in stack]
