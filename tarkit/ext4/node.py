"""What goes into an image: nodes of a tree, and file contents already stored."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})
_NO_CHILDREN: Mapping[bytes, Ext4Node] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a sparse file that holds data, in bytes."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset just past the region."""
        return self.offset + self.length


# Nobody changes it, nor FileExtents; but a frozen one takes three times as long to make, and every
# file has one.
@dataclass(slots=True, unsafe_hash=True)
class Extent:
    """*count* blocks of a file, from its block *logical* on, at block *physical* of the image."""

    logical: int
    physical: int
    count: int


@dataclass(slots=True, unsafe_hash=True)
class FileExtents:
    """A regular file's bytes as they lie in the image; what is in no extent is a hole."""

    size: int
    extents: tuple[Extent, ...]


@dataclass(slots=True, eq=False, kw_only=True)
class Ext4Node:
    """One inode. Names that lead to the same object are hard links.

    ``mode`` is the file's type and permissions as ``st_mode`` has them. ``mtime``, in
    nanoseconds since 1970, is all of an inode's times. A regular file has ``contents`` (``None``
    is empty), a symbolic link ``target``, a device ``major`` and ``minor``, a directory
    ``children`` by name.
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
        """Whether the node is a directory."""
        return stat.S_ISDIR(self.mode)
