"""Translate the merged tree of an image to the nodes of an ext4 image."""

from __future__ import annotations

import stat

from tarkit import ext4
from tarkit.artifacts.contents import Contents
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


class Translation:
    """Translates *tree* to ext4 nodes with *contents*; implements :class:`tarkit.ext4.node.Ext4Tree`.

    ``dropped`` counts the extended attributes for which ext4 has no namespace, ``lost`` the inodes
    with attributes that Linux cannot read; both are known once every node has been created.
    """

    def __init__(self, tree: Tree, contents: Contents) -> None:
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
        """See :class:`tarkit.ext4.node.Ext4Tree`."""
        return key.entries

    def is_shared(self, key: Value, /) -> bool:
        """See :class:`tarkit.ext4.node.Ext4Tree`."""
        return isinstance(key, int) and key in self._tree.links

    def node(self, key: Value, /) -> ext4.Ext4Node:
        """See :class:`tarkit.ext4.node.Ext4Tree`."""
        row = key if isinstance(key, int) else key.row
        _, (traits, size, mtime_ns, xattrs) = self._tree.table.facts(row)
        kind = traits.type
        # Linux shows every symbolic link with this mode.
        mode = 0o777 if kind is MemberType.SYMLINK else traits.mode
        made = ext4.Ext4Node(
            mode=_FORMATS[kind] | mode, uid=traits.uid, gid=traits.gid, mtime=mtime_ns
        )
        if xattrs:
            self._add_xattrs(made, key, self._tree.table.nameless(row))
        match kind:
            case MemberType.FILE if size:
                place = self._tree.table.place(row)
                # a sparse file without data has no place
                made.contents = self._contents.get(place, size) if place else FileExtents(size, ())
            case MemberType.SYMLINK:
                made.target = traits.linkname
            case MemberType.CHAR | MemberType.BLOCK:
                made.major, made.minor = traits.devmajor, traits.devminor
        return made

    def _add_xattrs(self, made: ext4.Ext4Node, key: Value, member: Member) -> None:
        kept, lost = sort_xattrs(member)
        made.xattrs = {k: v for k, v in kept.items() if can_hold(k)}
        self._counted[key] = len(kept) - len(made.xattrs), lost
