"""Every inode of a tree, checked and numbered, before anything about it is written."""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterator
from dataclasses import replace

from tarkit.errors import UnsafePathError, UnsupportedError
from tarkit.ext4.directory import Name
from tarkit.ext4.format import BLOCK, FIRST_INODE, MAX_LINKS, MAX_NAME, ROOT_INODE
from tarkit.ext4.node import Ext4Node

LOST_AND_FOUND = b"lost+found"

_KINDS = {
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}
_MAX_FILE_BLOCKS = 2**32 - 1
_NOBODY = 2**32 - 1


class Inventory:
    """The tree below *root*, one position an inode, the root at 0.

    Adds ``lost+found`` (of *time*) if there is none. Raises :class:`UnsupportedError` or
    :class:`UnsafePathError` for what ext4 cannot hold.
    """

    def __init__(self, root: Ext4Node, time: int) -> None:
        if not root.is_directory:
            raise UnsupportedError("the root of the tree is not a directory")
        self._positions = {root: 0}
        self._parents = array("I", [0])
        self._links = array("I", [2])
        self._names = [b""]
        self.nodes = [_with_lost_and_found(root, time)]
        self._walk()

    @property
    def last_inode(self) -> int:
        """The highest number in use."""
        return self.inode(len(self.nodes) - 1)

    def inode(self, position: int) -> int:
        """The inode number of *position*."""
        return FIRST_INODE - 1 + position if position else ROOT_INODE

    def parent(self, position: int) -> int:
        """The inode number of the directory *position* was first found in."""
        return self.inode(self._parents[position])

    def links(self, position: int) -> int:
        """The link count; 1 for a directory with more subdirectories than can be counted."""
        links = self._links[position]
        return links if links <= MAX_LINKS else 1

    def names(self, position: int) -> list[Name]:
        """The names in the directory at *position*, sorted."""
        children = self.nodes[position].children
        return [
            Name(name, self.inode(self._positions[child]), _KINDS[stat.S_IFMT(child.mode)])
            for name, child in sorted(children.items())
        ]

    def path(self, position: int) -> str:
        """The path of *position*, for people to read."""
        parts = []
        while position:
            parts.append(self._names[position])
            position = self._parents[position]
        return "/" + b"/".join(reversed(parts)).decode(errors="backslashreplace")

    def _walk(self) -> None:
        # The list grows while it is walked: directories come after those that hold them.
        for position, node in enumerate(self.nodes):
            if node.is_directory:
                for name, child in self._children(position):
                    self._add(position, name, child)
            self._check(position, node)

    def _children(self, position: int) -> Iterator[tuple[bytes, Ext4Node]]:
        """Names and nodes of a directory, sorted but for lost+found, which has the first number."""
        children = self.nodes[position].children
        if not position:
            yield LOST_AND_FOUND, children[LOST_AND_FOUND]
        for name in sorted(children):
            if position or name != LOST_AND_FOUND:
                yield name, children[name]

    def _add(self, parent: int, name: bytes, child: Ext4Node) -> None:
        self._check_name(parent, name)
        is_directory = child.is_directory
        position = self._positions.setdefault(child, len(self.nodes))
        if position == len(self.nodes):
            self.nodes.append(child)
            self._parents.append(parent)
            self._names.append(name)
            self._links.append(2 if is_directory else 1)
            self._links[parent] += is_directory
        elif is_directory:
            raise UnsupportedError("a directory with two names", where=self.path(position))
        else:
            self._links[position] += 1

    def _check_name(self, parent: int, name: bytes) -> None:
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise UnsafePathError(f"{name!r} cannot be a file's name", where=self.path(parent))
        if len(name) > MAX_NAME:
            problem = f"a name of {len(name)} bytes, {MAX_NAME} is the most"
            raise UnsupportedError(problem, where=self.path(parent))

    def _check(self, position: int, node: Ext4Node) -> None:
        problem = _problem(node)
        if not problem and not node.is_directory and self._links[position] > MAX_LINKS:
            problem = f"{self._links[position]} hard links where ext4 counts to {MAX_LINKS}"
        if problem:
            raise UnsupportedError(problem, where=self.path(position))


def _with_lost_and_found(root: Ext4Node, time: int) -> Ext4Node:
    found = root.children.get(LOST_AND_FOUND)
    if found is None:
        found = Ext4Node(mode=stat.S_IFDIR | 0o700, mtime=time)
        return replace(root, children={**root.children, LOST_AND_FOUND: found})
    if not found.is_directory:
        raise UnsupportedError("not a directory, as ext4 needs it to be", where="/lost+found")
    return root


def _problem(node: Ext4Node) -> str | None:
    """What ext4 cannot hold about *node*, if there is something."""
    kind = stat.S_IFMT(node.mode)
    if kind not in _KINDS or node.mode > 0xFFFF:
        return f"mode {node.mode:#o} is no kind of file"
    if not (0 <= node.uid < _NOBODY and 0 <= node.gid < _NOBODY):
        return f"owner {node.uid}:{node.gid} is out of range"
    if kind == stat.S_IFLNK and (not 0 < len(node.target) < BLOCK or b"\0" in node.target):
        return f"a symbolic link to a path of {len(node.target)} bytes, or with a NUL in it"
    if kind in (stat.S_IFBLK, stat.S_IFCHR) and not (
        0 <= node.major < 2**12 and 0 <= node.minor < 2**20
    ):
        return f"device {node.major}:{node.minor} is out of range"
    if node.contents is not None:
        if kind != stat.S_IFREG:
            return "contents in what is not a regular file"
        if node.contents.size > _MAX_FILE_BLOCKS * BLOCK:
            return f"a file of {node.contents.size} bytes, 16 TiB is the most"
    return None
