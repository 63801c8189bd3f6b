"""Translate the merged tree of an image to the nodes of an ext4 image."""

from __future__ import annotations

import stat

from tarkit import ext4
from tarkit.artifacts.contents import ExtentMap
from tarkit.ext4 import FileExtents, can_hold
from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.rootfs.trail import Directory, Value
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member, MemberType

_FORMATS = {
    MemberType.FILE: stat.S_IFREG,
    MemberType.DIRECTORY: stat.S_IFDIR,
    MemberType.SYMLINK: stat.S_IFLNK,
    MemberType.CHAR: stat.S_IFCHR,
    MemberType.BLOCK: stat.S_IFBLK,
    MemberType.FIFO: stat.S_IFIFO,
}

# An attribute of an enumeration takes 0.1 µs, and there are two nodes for each inode.
_FILE, _DIRECTORY, _SYMLINK = MemberType.FILE, MemberType.DIRECTORY, MemberType.SYMLINK


class Translation:
    """Translates *tree* to ext4 nodes with *contents*; implements :class:`tarkit.ext4.node.Ext4Tree`.

    ``dropped`` counts the extended attributes for which ext4 has no namespace, ``lost`` the inodes
    with attributes that Linux cannot read; both are known once every node has been created.
    """

    def __init__(self, tree: Tree, contents: ExtentMap) -> None:
        self._tree = tree
        self._contents = contents
        self._counted: dict[Value, tuple[int, bool]] = {}
        self.root = tree.top

    @property
    def dropped(self) -> int:
        """The number of attributes that ext4 has no namespace for."""
        return sum(dropped for dropped, _ in self._counted.values())

    @property
    def lost(self) -> int:
        """The number of inodes with attributes that Linux cannot read."""
        return sum(lost for _, lost in self._counted.values())

    def children(self, key: Directory, /) -> dict[bytes, Value]:
        """Return the keys of the entries of the directory *key* by name."""
        return key.entries

    def is_shared(self, key: Value, /) -> bool:
        """Return True if *key* may have several names."""
        return isinstance(key, int) and key in self._tree.links

    def node(self, key: Value, /) -> ext4.Ext4Node:
        """Return the inode of *key*, the same each time; its ``children`` are not used."""
        row = key if isinstance(key, int) else key.row
        table = self._tree.table
        traits, size, mtime_ns, xattrs = table.facts(row)[1]
        kind, mode, uid, gid = traits[:4]
        made = ext4.Ext4Node(mode=_FORMATS[kind] | mode, uid=uid, gid=gid, mtime=mtime_ns)
        if xattrs:
            self._add_xattrs(made, key, table.nameless(row))
        if kind is _FILE:
            if size:
                place = table.place(row)
                # a sparse file without data has no place
                made.contents = self._contents.get(place, size) if place else FileExtents(size, ())
        elif kind is _SYMLINK:
            made.mode = stat.S_IFLNK | 0o777  # as Linux shows every symbolic link
            made.target = traits.linkname
        elif kind is not _DIRECTORY:
            made.major, made.minor = traits.devmajor, traits.devminor  # 0 but for devices
        return made

    def _add_xattrs(self, made: ext4.Ext4Node, key: Value, member: Member) -> None:
        kept, lost = sort_xattrs(member)
        made.xattrs = {k: v for k, v in kept.items() if can_hold(k)}
        self._counted[key] = len(kept) - len(made.xattrs), lost
