"""Translate the merged tree of an image to the nodes of an ext4 image."""

from __future__ import annotations

import stat
from collections.abc import Mapping

from tarkit import ext4
from tarkit.ext4 import FileExtents, can_hold
from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.rootfs.tree import DataLocation, Node, Tree
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
    """Translates a tree to ext4 nodes, with *contents* keyed by place in the layers.

    ``dropped`` counts the extended attributes for which ext4 has no namespace, ``lost`` the inodes
    with attributes that Linux cannot read.
    """

    def __init__(self, contents: Mapping[DataLocation, FileExtents]) -> None:
        self._contents = contents
        self._shared: dict[Node, ext4.Ext4Node] = {}
        self.dropped = self.lost = 0

    def root(self, tree: Tree) -> ext4.Ext4Node:
        """Return the root of the translated *tree*; hard links stay hard links."""
        root, children = self._directory(tree.root)
        pending = [(tree.root, children)]  # not recursive: trees can be very deep
        while pending:
            source, target = pending.pop()
            for name, node in (source.children or {}).items():
                if node.children is None:
                    target[name] = self._leaf(node)
                else:
                    target[name], below = self._directory(node)
                    pending.append((node, below))
        return root

    def _directory(self, node: Node) -> tuple[ext4.Ext4Node, dict[bytes, ext4.Ext4Node]]:
        children: dict[bytes, ext4.Ext4Node] = {}
        made = self._node(node.member)
        made.children = children
        return made, children

    def _leaf(self, node: Node) -> ext4.Ext4Node:
        # Only inodes with several links are remembered, which keeps the map small.
        if node.links == 1:
            return self._inode(node)
        made = self._shared.get(node)
        if made is None:
            made = self._shared[node] = self._inode(node)
        return made

    def _inode(self, node: Node) -> ext4.Ext4Node:
        member, place = node.member, node.place
        made = self._node(member)
        match member.type:
            case MemberType.FILE if place is not None:
                made.contents = self._contents[place]
            case MemberType.FILE if member.size:  # a sparse file without data
                made.contents = FileExtents(member.size, ())
            case MemberType.SYMLINK:
                made.target = member.linkname
            case MemberType.CHAR | MemberType.BLOCK:
                made.major, made.minor = member.devmajor, member.devminor
        return made

    def _node(self, member: Member) -> ext4.Ext4Node:
        # Linux shows every symbolic link with this mode.
        mode = 0o777 if member.type is MemberType.SYMLINK else member.mode
        made = ext4.Ext4Node(
            mode=_FORMATS[member.type] | mode,
            uid=member.uid,
            gid=member.gid,
            mtime=member.mtime_ns,
        )
        if member.xattrs:
            kept, lost = sort_xattrs(member)
            made.xattrs = {k: v for k, v in kept.items() if can_hold(k)}
            self.dropped += len(kept) - len(made.xattrs)
            self.lost += lost
        return made
