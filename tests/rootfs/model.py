"""The simplest possible model of applying layers: a filesystem of strings and dicts."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.rootfs.layers import Item

Path = tuple[str, ...]


class RefusedByModelError(Exception):
    """The layers are invalid."""


@dataclass(eq=False)
class Inode:
    """A file, link or directory; the same object under two paths is a hard link."""

    kind: str
    value: object = None


class Model:
    """All paths of the filesystem; the root's is empty."""

    def __init__(self) -> None:
        self.inodes: dict[Path, Inode] = {(): Inode("dir", 0o755)}

    def apply(self, layer: Sequence[Item]) -> None:
        markers = [item for item in layer if ".wh." in item.name]
        rest = [item for item in layer if item not in markers]
        listed = {tuple(i.name.split("/")) for i in rest if i.kind == tarfile.DIRTYPE}
        lower = {i.target: self.present(i.target) for i in rest if i.kind == tarfile.LNKTYPE}
        for item in markers:
            self.hide(tuple(item.name.split("/")), listed)
        waiting = []
        for item in rest:
            target = self.present(item.target, lower) if item.kind == tarfile.LNKTYPE else None
            path = self.make_parent(tuple(item.name.split("/")))
            if item.kind == tarfile.DIRTYPE:
                if self.kind(path) != "dir":
                    self.remove(path)
                    self.inodes[path] = Inode("dir")
                self.inodes[path].value = item.mode
                continue
            self.remove(path)
            self.inodes[path] = target or self.new_inode(item)
            if self.inodes[path].kind == "waiting":
                waiting.append((path, self.inodes[path]))
        targets = [self.target(inode) for _, inode in waiting]
        for (path, inode), target in zip(waiting, targets, strict=True):
            if self.inodes.get(path) is inode:
                if target is None or target.kind == "dir":
                    raise RefusedByModelError
                self.inodes[path] = target

    def new_inode(self, item: Item) -> Inode:
        if item.kind == tarfile.LNKTYPE:
            return Inode("waiting", item.target)
        if item.kind == tarfile.SYMTYPE:
            return Inode("link", item.target)
        return Inode("file", item.data)

    def present(self, name: str, lower: Mapping[str, Inode | None] | None = None) -> Inode | None:
        """Return the file that a hard link to *name* can refer to now, or else the one in *lower*."""
        try:
            found = self.lookup(name)
        except RefusedByModelError:
            if lower is None:  # a later entry of the layer may break the loop
                return None
            raise
        if found is None or found.kind == "dir":
            return lower.get(name) if lower else None
        return None if found.kind == "waiting" else found

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

    def target(self, inode: Inode) -> Inode | None:
        """Return the target of *inode*, a waiting link, at the end of the layer."""
        seen = []
        found: Inode | None = inode
        while found is not None and found.kind == "waiting":
            if found in seen:
                return None
            seen.append(found)
            found = self.lookup(str(found.value))
        return found

    def lookup(self, name: str) -> Inode | None:
        """Return the inode at *name*; a link at its end is not followed."""
        parts = tuple(name.split("/"))
        return self.inodes.get((*self.resolve(parts[:-1]), parts[-1]))

    def kind(self, path: Path) -> str | None:
        return self.inodes[path].kind if path in self.inodes else None

    def remove(self, path: Path) -> None:
        for each in [each for each in self.inodes if each[: len(path)] == path]:
            del self.inodes[each]

    def make_parent(self, path: Path) -> Path:
        """Return *path* with links resolved; create its parent directories."""
        parent = self.resolve(path[:-1])
        for length in range(1, len(parent) + 1):
            if self.kind(parent[:length]) != "dir":
                self.remove(parent[:length])
                self.inodes[parent[:length]] = Inode("dir", 0o755)
        return (*parent, path[-1])

    def resolve(self, path: Path, budget: int = 40) -> Path:
        """Return *path* with links resolved; each link reduces *budget*."""
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
