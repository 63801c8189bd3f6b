"""The merged tree of an image: inodes, and path resolution that never leaves the image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tarkit.errors import LimitExceededError, PathNotFoundError, UnsafePathError
from tarkit.rootfs.names import MAX_DEPTH, Parts, path_of
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import MAX_HOPS
from tarkit.values import dataclass

MAX_TARGET = 4096
"""Maximum length in bytes of a symbolic link to follow, as on Linux (``PATH_MAX``)."""


class DataLocation(NamedTuple):
    """The location of a file's data: the layer, 0 at the bottom, and the offset in the uncompressed layer."""

    layer: int
    offset: int


@dataclass(slots=True, eq=False)
class Node:
    """One inode. Several names of the same object are hard links; ``links`` counts the names.

    ``member`` holds the metadata, ``layer`` the number of the layer that contains it. ``children``
    maps names to the entries of a directory and is None for all other types.
    """

    member: Member
    layer: int
    children: dict[bytes, Node] | None = None
    links: int = 1

    @property
    def type(self) -> MemberType:
        """The type of the inode; never a hard link."""
        return self.member.type

    @property
    def place(self) -> DataLocation | None:
        """The location of the data, or None if there is none."""
        return DataLocation(self.layer, self.member.data_offset) if self.member.stored else None


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory tree below ``root``."""

    root: Node

    def walk(self) -> Iterator[tuple[bytes, Node]]:
        """Yield every path, without a leading slash, and its inode: parents first, siblings by name.

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
        """Return every inode once, in unspecified order."""
        found = {self.root: None}
        pending = [self.root]
        while pending:
            below = (pending.pop().children or {}).values()
            found |= dict.fromkeys(below)
            pending += [node for node in below if node.children]
        return list(found)

    def parts(self, path: str | bytes) -> Parts:
        """Return the components of *path*; links before a ``..`` are followed, as the kernel does."""
        if isinstance(path, str):
            path = path.encode("utf-8", "surrogateescape")
        parts = [part for part in path.split(b"/") if part not in (b"", b".")]
        if b".." not in parts:
            return parts
        # "link/.." is the parent of the link's target, so everything up to the last ".." is resolved
        end = len(parts) - parts[::-1].index(b"..")
        return self.real_parts(parts[:end]) + parts[end:]

    def find(self, parts: Parts, *, follow: bool = True) -> Node:
        """Return the inode at *parts*; if *follow*, a symbolic link at the end is followed.

        Links are resolved inside the image. Raises :class:`PathNotFoundError`, and
        :class:`UnsafePathError` if links form a loop.
        """
        node = self.get(parts, follow=follow)
        if node is None:
            raise PathNotFoundError("no such file or directory in the image", where=path_of(parts))
        return node

    def get(self, parts: Parts, *, follow: bool = True) -> Node | None:
        """Return the inode at *parts* as :meth:`find` does, or None if it does not exist."""
        trail = self.trail(parts, follow=follow)
        return None if trail.missing else trail.nodes[-1]

    def real_parts(self, parts: Parts) -> Parts:
        """Return *parts* with all links followed, even if the path does not exist."""
        trail = self.trail(parts)
        return trail.names + trail.missing

    def trail(self, parts: Parts, *, follow: bool = True) -> Trail:
        """Resolve *parts* component by component, as the kernel does, and return the steps."""
        trail = Trail([self.root], [], [])
        pending = parts[::-1]  # a stack, so that targets of links are resolved before the rest
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
            raise UnsafePathError("loop of symbolic links", where=path_of(parts))
        # Each link adds components to *pending*, so limit both.
        if len(target) > MAX_TARGET or len(pending) + len(trail.missing) > MAX_DEPTH:
            raise LimitExceededError(
                "symbolic link too long to follow", limit=MAX_TARGET, where=path_of(parts)
            )
        if target.startswith(b"/"):
            trail.reset()
        components = target.split(b"/")
        trail.steps += len(components)
        pending += components[::-1]


@dataclass(slots=True)
class Trail:
    """A resolved path: the inodes from the root, their names, and the names that do not exist.

    ``steps`` counts the components of all links followed.
    """

    nodes: list[Node]
    names: Parts
    missing: Parts
    steps: int = 0

    def child(self, name: bytes) -> Node | None:
        """Return the entry *name* of the current directory, or None if it does not exist."""
        children = self.nodes[-1].children
        # below a missing directory nothing exists, but ".." can lead back
        return children.get(name) if children and not self.missing else None

    def down(self, name: bytes, child: Node | None) -> None:
        """Go to *name*; *child* is its inode, or None if it does not exist."""
        if child is None:
            self.missing.append(name)
        else:
            self.nodes.append(child)
            self.names.append(name)

    def up(self) -> None:
        """Go to the parent directory; the parent of the root is the root."""
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
