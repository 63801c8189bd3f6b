"""The content of an image: nodes of a tree, and file contents already stored."""

from __future__ import annotations

import stat
from collections.abc import Hashable, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Protocol

from tarkit.values import dataclass

_NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})
_NO_CHILDREN: Mapping[bytes, Ext4Node] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Region:
    """A data region of a sparse file, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset just past the region."""
        return self.offset + self.length


# Extent and FileExtents are never changed. They are not frozen because every file has one and
# creating frozen instances takes three times as long.
@dataclass(slots=True, unsafe_hash=True)
class Extent:
    """``count`` blocks of a file, from its block ``logical``, at block ``physical`` of the image."""

    logical: int
    physical: int
    count: int


@dataclass(slots=True, unsafe_hash=True)
class FileExtents:
    """The contents of a regular file stored in the image; blocks outside all extents are holes."""

    size: int
    extents: tuple[Extent, ...]


@dataclass(slots=True, eq=False, kw_only=True)
class Ext4Node:
    """An inode. Names of the same object are hard links.

    ``mode`` has the file type and permissions, as in ``st_mode``. ``mtime``, in nanoseconds since
    1970, is used for all times of the inode. A regular file has ``contents`` (None for an empty
    file), a symbolic link has a ``target``, a device has ``major`` and ``minor`` numbers, and a
    directory has ``children`` by name.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: _NO_XATTRS)
    contents: FileExtents | None = None
    target: bytes = b""
    major: int = 0
    minor: int = 0
    children: Mapping[bytes, Ext4Node] = field(default_factory=lambda: _NO_CHILDREN)

    @property
    def is_directory(self) -> bool:
        """True if the node is a directory."""
        return stat.S_ISDIR(self.mode)


class Ext4Tree(Protocol):
    """A tree that creates its nodes on demand; keys stand for them."""

    @property
    def root(self) -> Hashable:
        """The key of the root directory."""
        ...

    def node(self, key: Any, /) -> Ext4Node:
        """Return the inode of *key*, the same each time; its ``children`` are not used."""
        ...

    def children(self, key: Any, /) -> Mapping[bytes, Hashable]:
        """Return the keys of the entries of the directory *key* by name."""
        ...

    def is_shared(self, key: Any, /) -> bool:
        """Return True if *key* may have several names."""
        ...


class NodeTree:
    """The tree of *root* and its children; each node is its own key."""

    def __init__(self, root: Ext4Node) -> None:
        self.root = root

    def node(self, key: Ext4Node, /) -> Ext4Node:
        """Return the inode of *key*, the same each time; its ``children`` are not used."""
        return key

    def children(self, key: Ext4Node, /) -> Mapping[bytes, Ext4Node]:
        """Return the keys of the entries of the directory *key* by name."""
        return key.children

    def is_shared(self, key: Ext4Node, /) -> bool:
        """Return True if *key* may have several names."""
        return True
