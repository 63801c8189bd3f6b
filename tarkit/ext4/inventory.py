"""Check and number all inodes of a tree before writing any of them."""

from __future__ import annotations

import stat
from array import array
from collections.abc import Hashable, Iterator, Mapping

from tarkit.errors import UnsafePathError, UnsupportedError
from tarkit.ext4.directory import Name
from tarkit.ext4.extents import fits_inode
from tarkit.ext4.format import BLOCK, FIRST_INODE, MAX_LINKS, MAX_NAME, ROOT_INODE
from tarkit.ext4.inode import is_storable
from tarkit.ext4.node import Ext4Node, Ext4Tree

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


_RESERVED = frozenset((b"", b".", b".."))
_LOST_AND_FOUND = object()  # the key of a directory that the tree does not have


class Inventory:
    """The inodes of *tree*, numbered by position; the root has position 0.

    Adds ``lost+found`` with modification time *time* if it is missing. ``extents`` holds the first
    block of each extent of file contents and ``held`` the number of their blocks; ``clamped``
    counts the times that ext4 cannot store. Raises :class:`UnsupportedError` or
    :class:`UnsafePathError` if ext4 cannot store the tree.
    """

    def __init__(self, tree: Ext4Tree, time: int) -> None:
        self._tree = tree
        self._lost_and_found = Ext4Node(mode=stat.S_IFDIR | 0o700, mtime=time)
        self._shared: dict[Hashable, int] = {}  # positions of keys that may have more names
        self._first_children: dict[int, int] = {}
        self._keys: list[Hashable] = []
        self._names: list[bytes] = []
        self._formats = bytearray()
        self._plain = bytearray()
        self._parents = array("I")
        self._links = array("I")
        self._last: tuple[int, Ext4Node] = (-1, self._lost_and_found)
        self.extents = array("q")
        self.held = 0
        self.clamped = 0
        self._walk()

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def last_inode(self) -> int:
        """The highest inode number in use."""
        return self.inode(len(self) - 1)

    def node(self, position: int) -> Ext4Node:
        """Return the inode at *position*."""
        if position != self._last[0]:
            self._last = position, self._node(self._keys[position])
        return self._last[1]

    def is_directory(self, position: int) -> bool:
        """Return True if the inode at *position* is a directory."""
        return self._formats[position] == stat.S_IFDIR >> 12

    def is_plain(self, position: int) -> bool:
        """Return True if the inode at *position* is a file that needs no blocks besides its data."""
        return bool(self._plain[position])

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
        following = self._first_children[position]
        names = []
        for name, key in self._children(position):
            child = self._shared.get(key, following)
            following += child == following
            kind = _FILE_TYPES[self._formats[child] << 12]
            names.append(Name(name, self.inode(child), kind))
        return sorted(names)

    def child_names(self, position: int) -> Iterator[bytes]:
        """Yield the names in the directory at *position*."""
        return (name for name, _ in self._children(position))

    def path(self, position: int) -> str:
        """Return the path of the inode at *position*, for error messages."""
        parts = []
        while position:
            parts.append(self._names[position])
            position = self._parents[position]
        return "/" + b"/".join(reversed(parts)).decode(errors="backslashreplace")

    def _walk(self) -> None:
        self._append(0, b"", self._tree.root)
        if not self.is_directory(0):
            raise UnsupportedError("the root of the tree is not a directory")
        position = 0
        while position < len(self):  # children come after their parents
            if self.is_directory(position):
                self._first_children[position] = len(self)
                children = list(self._children(position))
                self._check_names(position, [name for name, _ in children])
                for name, key in children:
                    self._add(position, name, key)
            position += 1
        for position, links in enumerate(self._links):
            if links > MAX_LINKS and not self.is_directory(position):
                problem = f"{links} hard links are more than {MAX_LINKS}"
                raise UnsupportedError(problem, where=self.path(position))

    def _children(self, position: int) -> Iterator[tuple[bytes, Hashable]]:
        """Yield the sorted children of a directory; ``lost+found`` comes first to get inode 11."""
        key = self._keys[position]
        children: Mapping[bytes, Hashable] = {}
        if key is not _LOST_AND_FOUND:
            children = self._tree.children(key)
        if not position:
            yield LOST_AND_FOUND, children.get(LOST_AND_FOUND, _LOST_AND_FOUND)
        for name in sorted(children):
            if position or name != LOST_AND_FOUND:
                yield name, children[name]

    def _add(self, parent: int, name: bytes, key: Hashable) -> None:
        position = self._shared.get(key)
        if position is None:
            self._append(parent, name, key)
        elif self.is_directory(position):
            raise UnsupportedError("a directory with two names", where=self.path(position))
        else:
            self._links[position] += 1

    def _append(self, parent: int, name: bytes, key: Hashable) -> None:
        node, position = self._node(key), len(self)
        if key is not _LOST_AND_FOUND and self._tree.is_shared(key):
            self._shared[key] = position
        self._keys.append(key)
        self._names.append(name)
        self._parents.append(parent)
        self._formats.append(stat.S_IFMT(node.mode) >> 12)
        is_directory = node.is_directory
        self._links.append(2 if is_directory else 1)
        if position:
            self._links[parent] += is_directory
            if not is_directory and name == LOST_AND_FOUND and not parent:
                message = "not a directory, but ext4 requires one"
                raise UnsupportedError(message, where="/lost+found")
        problem = _problem(node)
        if problem:
            raise UnsupportedError(problem, where=self.path(position))
        self._take_stock(node)

    def _take_stock(self, node: Ext4Node) -> None:
        extents = node.contents.extents if node.contents else ()
        for extent in extents:
            self.extents.append(extent.physical)
            self.held += extent.count
        self._plain.append(stat.S_ISREG(node.mode) and not node.xattrs and fits_inode(extents))
        self.clamped += not is_storable(node.mtime)

    def _node(self, key: Hashable) -> Ext4Node:
        return self._lost_and_found if key is _LOST_AND_FOUND else self._tree.node(key)

    def _check_names(self, parent: int, names: list[bytes]) -> None:
        joined = b"/".join(names)  # checked at once, in a sixth of the time
        if (
            joined.count(b"/") < len(names)
            and b"\0" not in joined
            and _RESERVED.isdisjoint(names)
            and max(map(len, names), default=0) <= MAX_NAME
        ):
            return
        for name in names:
            if name in _RESERVED or b"/" in name or b"\0" in name:
                raise UnsafePathError(f"{name!r} cannot be a file's name", where=self.path(parent))
            if len(name) > MAX_NAME:
                problem = f"a name of {len(name)} bytes is longer than {MAX_NAME}"
                raise UnsupportedError(problem, where=self.path(parent))


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
