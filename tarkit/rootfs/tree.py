"""The merged tree: inodes, and paths to them that never leave the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tarkit.errors import LimitExceededError, PathNotFoundError, UnsafePathError
from tarkit.rootfs.names import MAX_DEPTH, Parts, path_of
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import MAX_HOPS

MAX_TARGET = 4096
"""Longest symbolic link in bytes that is followed; Linux takes no longer one."""


class DataLocation(NamedTuple):
    """Where a file's data is: the layer, from 0 at the bottom, and the offset in it, uncompressed."""

    layer: int
    offset: int


@dataclass(slots=True, eq=False)
class Node:
    """One inode. Names that lead to the same object are hard links; ``links`` counts them.

    ``member`` is its metadata, ``layer`` the one that comes from. ``children`` are a directory's
    entries by name, and ``None`` for everything else.
    """

    member: Member
    layer: int
    children: dict[bytes, Node] | None = None
    links: int = 1

    @property
    def type(self) -> MemberType:
        """What it is; never a hard link."""
        return self.member.type

    @property
    def place(self) -> DataLocation | None:
        """Where its data is; ``None`` where it has none."""
        return DataLocation(self.layer, self.member.data_offset) if self.member.stored else None


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory tree from its ``root``."""

    root: Node

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Every path, without a slash in front, and its inode: parents first, siblings by name.

        The root's path is empty.
        """
        pending = [(b"", self.root)]
        while pending:
            path, node = pending.pop()
            yield path, node
            if node.children:
                prefix = path + b"/" if path else b""
                below = sorted(node.children.items(), reverse=True)
                pending += [(prefix + name, child) for name, child in below]

    def inodes(self) -> list[Node]:
        """Every inode once, in no order that means anything."""
        found = {self.root: None}
        pending = [self.root]
        while pending:
            below = (pending.pop().children or {}).values()
            found |= dict.fromkeys(below)
            pending += [node for node in below if node.children]
        return list(found)

    def parts(self, path: str | bytes) -> Parts:
        """The components of *path*; ``..`` leads to where the directory before it is, links followed."""
        if isinstance(path, str):
            path = path.encode("utf-8", "surrogateescape")
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." not in parts:
            return parts
        end = len(parts) - parts[::-1].index(b"..")
        return self.real_parts(parts[:end]) + parts[end:]

    def find(self, parts: Parts, *, follow: bool = True) -> Node:
        """The inode at *parts*; a symbolic link at the end is followed where *follow*.

        Links are resolved inside the image. Raises :class:`PathNotFoundError`, and
        :class:`UnsafePathError` for a loop of links.
        """
        node = self.get(parts, follow=follow)
        if node is None:
            raise PathNotFoundError("no such file or directory in the image", where=path_of(parts))
        return node

    def get(self, parts: Parts, *, follow: bool = True) -> Node | None:
        """As :meth:`find`, with ``None`` where there is nothing."""
        trail = self.trail(parts, follow=follow)
        return None if trail.missing else trail.nodes[-1]

    def real_parts(self, parts: Parts) -> Parts:
        """*parts* with every link on the way followed, also where the end of it does not exist."""
        trail = self.trail(parts)
        return trail.names + trail.missing

    def trail(self, parts: Parts, *, follow: bool = True) -> Trail:
        """The way to *parts*, one component at a time, as the kernel goes it."""
        trail = Trail([self.root], [], [])
        pending = parts[::-1]
        hops = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                trail.up()
            elif name and name != b".":
                child = trail.child(name)
                if child and child.type is MemberType.SYMLINK and (pending or follow):
                    hops += 1
                    self._follow(child, hops, trail, pending, parts)
                else:
                    trail.down(name, child)
        return trail

    def _follow(self, link: Node, hops: int, trail: Trail, pending: Parts, parts: Parts) -> None:
        target = link.member.linkname
        if hops > MAX_HOPS:
            raise UnsafePathError("a loop of symbolic links", where=path_of(parts))
        if len(target) > MAX_TARGET or len(pending) + len(trail.missing) > MAX_DEPTH:
            raise LimitExceededError(
                "a symbolic link too long to follow", limit=MAX_TARGET, where=path_of(parts)
            )
        if target.startswith(b"/"):
            trail.reset()
        components = target.split(b"/")
        trail.steps += len(components)
        pending += components[::-1]


@dataclass(slots=True)
class Trail:
    """The way from the root to a path: the inodes passed, their names, and the names beyond them.

    ``steps`` counts the components of the links that were followed.
    """

    nodes: list[Node]
    names: Parts
    missing: Parts
    steps: int = 0

    def child(self, name: bytes) -> Node | None:
        """The entry of that name, where the way so far exists."""
        children = self.nodes[-1].children
        return children.get(name) if children and not self.missing else None

    def down(self, name: bytes, child: Node | None) -> None:
        """Go to *name*, which is *child* where it exists."""
        if child is None:
            self.missing.append(name)
        else:
            self.nodes.append(child)
            self.names.append(name)

    def up(self) -> None:
        """Go to the parent; the root is its own."""
        if self.missing:
            self.missing.pop()
        elif self.names:
            self.names.pop()
            self.nodes.pop()

    def reset(self) -> None:
        """Go to the root."""
        del self.nodes[1:]
        self.names.clear()
        self.missing.clear()
