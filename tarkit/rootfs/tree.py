"""The merged tree of an image: inodes, and path resolution that never leaves the image.

A directory maps names to rows of a table and to other directories, which takes a fifth of the memory
of an object for each inode (docs/adr/0018). Nodes are views of them, created on demand.
"""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import LimitExceededError, PathNotFoundError, UnsafePathError
from tarkit.rootfs.names import MAX_DEPTH, Parts, path_of
from tarkit.rootfs.node import Node
from tarkit.rootfs.table import Table
from tarkit.rootfs.trail import Directory, Trail, Value
from tarkit.tar.member import MemberType
from tarkit.tar.names import MAX_HOPS

MAX_TARGET = 4096
"""Maximum length in bytes of a symbolic link to follow, as on Linux (``PATH_MAX``)."""


class Tree:
    """A directory tree below ``top``, with metadata in ``table``.

    ``links`` holds the number of names of each inode that has several, by row. ``token`` marks the
    directories that this tree may change.
    """

    def __init__(self, top: Directory, table: Table, links: dict[int, int]) -> None:
        self.top = top
        self.table = table
        self.links = links
        self.token = top.owner

    @property
    def root(self) -> Node:
        """The inode of the root."""
        return self.node(self.top)

    def node(self, value: Value) -> Node:
        """Return the inode of *value*."""
        return Node(self.table, self.links, value)

    def walk(self, top: Value | None = None) -> Iterator[tuple[bytes, Node]]:
        """Yield every path, without a leading slash, and its inode: parents first, siblings by name.

        The path of *top*, by default the root, is empty.
        """
        table, links = self.table, self.links
        for prefix, name, value in self.steps(top):
            yield prefix + name, Node(table, links, value)

    def steps(self, top: Value | None = None) -> Iterator[tuple[bytes, bytes, Value]]:
        """Yield every path as the prefix that its siblings share and a name, and its value.

        Siblings share the same object, too.
        """
        top = self.top if top is None else top
        yield b"", b"", top
        pending = [] if isinstance(top, int) else [(b"", top.entries, iter(sorted(top.entries)))]
        while pending:
            prefix, entries, names = pending[-1]
            for name in names:
                value = entries[name]
                yield prefix, name, value
                if not isinstance(value, int) and value.entries:
                    below = prefix + name + b"/"
                    pending.append((below, value.entries, iter(sorted(value.entries))))
                    break
            else:
                pending.pop()

    def inodes(self) -> Iterator[Node]:
        """Yield every inode once, in unspecified order."""
        return map(self.node, self.values())

    def inode_rows(self) -> Iterator[int]:
        """Yield the row of every inode once, in unspecified order."""
        return (value if isinstance(value, int) else value.row for value in self.values())

    def values(self) -> Iterator[Value]:
        """Yield the value of every inode once, in unspecified order."""
        seen: set[int] = set()
        for value in self.entries():
            if isinstance(value, int) and value in self.links:
                if value in seen:
                    continue
                seen.add(value)
            yield value

    def entries(self) -> Iterator[Value]:
        """Yield the value of every path, in unspecified order."""
        yield self.top
        for directory in self.directories():
            yield from directory.entries.values()

    def directories(self) -> Iterator[Directory]:
        """Yield every directory, in unspecified order."""
        pending = [self.top]
        while pending:
            directory = pending.pop()
            yield directory
            pending += [each for each in directory.entries.values() if isinstance(each, Directory)]

    def fork(self) -> Tree:
        """Return an independent copy, in constant time: a directory is copied when it changes.

        Both trees share the existing rows. Rows never change, so a changed inode is a new row.
        """
        twin = Tree(self.top, self.table.fork(), self.links)
        self.token, twin.token = object(), object()
        return twin

    def writable(self, names: Parts) -> Directory:
        """Return the directory at *names*, a path without links, as one that this tree may change.

        Directories on the way that other trees use, too, are copied.
        """
        if self.top.owner is not self.token:
            self.top = self.top.copy(self.token)
        directory = self.top
        for name in names:
            child = directory.entries[name]
            assert not isinstance(child, int)
            if child.owner is not self.token:
                child = directory.entries[name] = child.copy(self.token)
            directory = child
        return directory

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
        return None if trail.missing else self.node(trail.values[-1])

    def real_parts(self, parts: Parts) -> Parts:
        """Return *parts* with all links followed, even if the path does not exist."""
        trail = self.trail(parts)
        return trail.names + trail.missing

    def trail(self, parts: Parts, *, follow: bool = True) -> Trail:
        """Resolve *parts* component by component, as the kernel does, and return the steps."""
        trail = Trail.start(self.top)
        pending = parts[::-1]  # a stack, so that targets of links are resolved before the rest
        hops = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                trail.up()
            elif name and name != b".":
                child = trail.child(name)
                if (pending or follow) and isinstance(child, int) and self.is_symlink(child):
                    hops += 1
                    self._follow(child, hops, trail, pending, parts)
                else:
                    trail.down(name, child)
        return trail

    def is_symlink(self, row: int) -> bool:
        """Return True if inode *row* is a symbolic link."""
        return self.table.type(row) is MemberType.SYMLINK

    def _follow(self, link: int, hops: int, trail: Trail, pending: Parts, parts: Parts) -> None:
        target = self.table.linkname(link)
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
