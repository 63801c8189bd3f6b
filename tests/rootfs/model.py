"""A filesystem of strings and dicts that layers are applied to in the plainest way there is."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from tests.rootfs.layers import Item

Path = tuple[str, ...]


class RefusedByModelError(Exception):
    """The layers mean nothing."""


@dataclass(eq=False)
class Inode:
    """A file, link or directory; the same object under two paths is a hard link."""

    kind: str
    value: object = None


class Model:
    """All paths there are, the root's is empty."""

    def __init__(self) -> None:
        self.inodes: dict[Path, Inode] = {(): Inode("dir", 0o755)}

    def apply(self, layer: Sequence[Item]) -> None:
        markers = [item for item in layer if ".wh." in item.name]
        rest = [item for item in layer if item not in markers]
        listed = {tuple(i.name.split("/")) for i in rest if i.kind == tarfile.DIRTYPE}
        for item in markers:
            self.hide(tuple(item.name.split("/")), listed)
        added: list[Inode] = []
        waiting = []
        for item in rest:
            path = self.make_parent(tuple(item.name.split("/")))
            if item.kind == tarfile.DIRTYPE:
                if self.kind(path) != "dir":
                    self.remove(path)
                    self.inodes[path] = Inode("dir")
                self.inodes[path].value = item.mode
                continue
            early = self.lookup(item.target) if item.kind == tarfile.LNKTYPE else None
            self.remove(path)
            if early is not None and early in added and early.kind != "waiting":
                self.inodes[path] = early
            elif item.kind == tarfile.LNKTYPE:
                self.inodes[path] = Inode("waiting", item.target)
                waiting.append((path, self.inodes[path]))
            elif item.kind == tarfile.SYMTYPE:
                self.inodes[path] = Inode("link", item.target)
            else:
                self.inodes[path] = Inode("file", item.data)
            added.append(self.inodes[path])
        for path, inode in waiting:
            if self.inodes.get(path) is inode:
                self.inodes[path] = self.target(inode)

    def hide(self, path: Path, listed: set[Path]) -> None:
        parent, name = path[:-1], path[-1]
        for length in range(1, len(parent) + 1):
            if self.kind(parent[:length]) == "link":
                if parent[:length] in listed:
                    return
                break
        parent = self.resolve(parent)
        if self.kind(parent) != "dir":
            return
        if name != ".wh..wh..opq":
            self.remove((*parent, name.removeprefix(".wh.")))
            return
        for child in [each for each in self.inodes if each[:-1] == parent and each]:
            self.remove(child)

    def target(self, inode: Inode) -> Inode:
        seen = []
        while inode.kind == "waiting":
            if inode in seen:
                raise RefusedByModelError
            seen.append(inode)
            found = self.lookup(str(inode.value))
            if found is None or found.kind == "dir":
                raise RefusedByModelError
            inode = found
        return inode

    def lookup(self, name: str) -> Inode | None:
        """What is at *name*, the link itself where it is one."""
        parts = tuple(name.split("/"))
        return self.inodes.get((*self.resolve(parts[:-1]), parts[-1]))

    def kind(self, path: Path) -> str | None:
        return self.inodes[path].kind if path in self.inodes else None

    def remove(self, path: Path) -> None:
        for each in [each for each in self.inodes if each[: len(path)] == path]:
            del self.inodes[each]

    def make_parent(self, path: Path) -> Path:
        """Where *path* really is, with directories made on the way to it."""
        parent = self.resolve(path[:-1])
        for length in range(1, len(parent) + 1):
            if self.kind(parent[:length]) != "dir":
                self.remove(parent[:length])
                self.inodes[parent[:length]] = Inode("dir", 0o755)
        return (*parent, path[-1])

    def resolve(self, path: Path, budget: int = 40) -> Path:
        """*path* without links, of which every one costs."""
        done: Path = ()
        for at, part in enumerate(path):
            if part == "..":
                done = done[:-1]
            elif part:
                done = (*done, part)
                if self.kind(done) == "link":
                    if budget == 0:
                        raise RefusedByModelError
                    target = str(self.inodes[done].value)
                    start: Path = () if target.startswith("/") else done[:-1]
                    onward = (*start, *target.split("/"), *path[at + 1 :])
                    return self.resolve(onward, budget - 1)
        return done
