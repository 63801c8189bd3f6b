"""Check and number all inodes of a tree before writing any of them."""

from __future__ import annotations

import stat
from array import array
from collections.abc import Iterator

from tarkit.errors import UnsafePathError, UnsupportedError
from tarkit.ext4.directory import Name
from tarkit.ext4.format import BLOCK, FIRST_INODE, MAX_LINKS, MAX_NAME, ROOT_INODE
from tarkit.ext4.node import Ext4Node
from tarkit.values import replace

LOST_AND_FOUND = b"lost+found"

_FILE_TYPES = {  # file_type in directory entries (section 4.3)
    stat.S_IFREG: 1,
    stat.S_IFDIR: 2,
    stat.S_IFCHR: 3,
    stat.S_IFBLK: 4,
    stat.S_IFIFO: 5,
    stat.S_IFSOCK: 6,
    stat.S_IFLNK: 7,
}
_MAX_FILE_BLOCKS = 2**32 - 1  # ee_block has 32 bits
_INVALID_ID = 2**32 - 1  # (uid_t) -1


class Inventory:
    """The inodes of the tree at *root*, numbered by position; the root has position 0.

    Adds ``lost+found`` with modification time *time* if it is missing. Raises
    :class:`UnsupportedError` or :class:`UnsafePathError` if ext4 cannot store the tree.
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
        """The highest inode number in use."""
        return self.inode(len(self.nodes) - 1)

    def inode(self, position: int) -> int:
        """Return the inode number at *position*."""
        return FIRST_INODE - 1 + position if position else ROOT_INODE

    def parent(self, position: int) -> int:
        """Return the inode number of the first directory that contains the inode at *position*."""
        return self.inode(self._parents[position])

    def links(self, position: int) -> int:
        """Return the link count; 1 (``dir_nlink``) for a directory with too many subdirectories."""
        links = self._links[position]
        return links if links <= MAX_LINKS else 1

    def names(self, position: int) -> list[Name]:
        """Return the sorted entries of the directory at *position*."""
        children = self.nodes[position].children
        return [
            Name(name, self.inode(self._positions[child]), _FILE_TYPES[stat.S_IFMT(child.mode)])
            for name, child in sorted(children.items())
        ]

    def path(self, position: int) -> str:
        """Return the path of the inode at *position*, for error messages."""
        parts = []
        while position:
            parts.append(self._names[position])
            position = self._parents[position]
        return "/" + b"/".join(reversed(parts)).decode(errors="backslashreplace")

    def _walk(self) -> None:
        # The loop appends to the list: children come after their parents.
        for position, node in enumerate(self.nodes):
            if node.is_directory:
                for name, child in self._children(position):
                    self._add(position, name, child)
            self._check(position, node)

    def _children(self, position: int) -> Iterator[tuple[bytes, Ext4Node]]:
        """Yield the sorted children of a directory; ``lost+found`` comes first to get inode 11."""
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
            problem = f"a name of {len(name)} bytes is longer than {MAX_NAME}"
            raise UnsupportedError(problem, where=self.path(parent))

    def _check(self, position: int, node: Ext4Node) -> None:
        problem = _problem(node)
        if not problem and not node.is_directory and self._links[position] > MAX_LINKS:
            problem = f"{self._links[position]} hard links are more than {MAX_LINKS}"
        if problem:
            raise UnsupportedError(problem, where=self.path(position))


def _with_lost_and_found(root: Ext4Node, time: int) -> Ext4Node:
    found = root.children.get(LOST_AND_FOUND)
    if found is None:
        found = Ext4Node(mode=stat.S_IFDIR | 0o700, mtime=time)
        return replace(root, children={**root.children, LOST_AND_FOUND: found})
    if not found.is_directory:
        raise UnsupportedError("not a directory, but ext4 requires one", where="/lost+found")
    return root


def _problem(node: Ext4Node) -> str | None:
    """Return the reason that ext4 cannot store *node*, or None if it can."""
    kind = stat.S_IFMT(node.mode)
    if kind not in _FILE_TYPES or node.mode > 0xFFFF:
        return f"mode {node.mode:#o} has no valid file type"
    if not (0 <= node.uid < _INVALID_ID and 0 <= node.gid < _INVALID_ID):
        return f"owner {node.uid}:{node.gid} is out of range"
    if kind == stat.S_IFLNK and (not 0 < len(node.target) < BLOCK or b"\0" in node.target):
        return f"symbolic link target of {len(node.target)} bytes is too long, empty or has a NUL"
    if kind in (stat.S_IFBLK, stat.S_IFCHR) and not (
        0 <= node.major < 2**12 and 0 <= node.minor < 2**20
    ):
        return f"device {node.major}:{node.minor} is out of range"
    if node.contents is not None:
        if kind != stat.S_IFREG:
            return "not a regular file, but has contents"
        if node.contents.size > _MAX_FILE_BLOCKS * BLOCK:
            return f"a file of {node.contents.size} bytes is larger than 16 TiB"
    return None
