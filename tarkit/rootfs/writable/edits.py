"""Change a tree: every step takes paths without links, whose parents exist.

Changes of metadata make new rows, so every name of the inode gets the new row.
"""

from __future__ import annotations

from tarkit.rootfs.names import Parts
from tarkit.rootfs.trail import Directory, Value
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member, MemberType


class TreeEdits:
    """Changes *tree*; the metadata of new inodes goes to the table as entries of *layer*."""

    def __init__(self, tree: Tree, layer: int) -> None:
        self._tree = tree
        self._layer = layer
        tree.links = dict(tree.links)  # a fork shares them

    def put(self, parts: Parts, member: Member) -> None:
        """Put a new inode, described by *member*, at *parts*, replacing an existing entry."""
        row = self._new_row(member)
        value = Directory(row, self._tree.token) if member.type is MemberType.DIRECTORY else row
        self._set(parts, value)

    def change(self, parts: Parts, member: Member) -> None:
        """Replace the metadata, and the place of the data, of the inode at *parts*."""
        old = self._value(parts)
        row = self._new_row(member)
        if isinstance(old, Directory):
            self._tree.writable(parts).row = row
        elif old in self._tree.links:
            self._repoint(old, row)
        else:
            self._tree.writable(parts[:-1]).entries[parts[-1]] = row

    def link(self, parts: Parts, first: Parts) -> None:
        """Make *parts* another name of the file at *first*, replacing an existing entry."""
        row = self._value(first)
        assert isinstance(row, int)
        if self._find(parts) == row:
            return
        self._set(parts, row)
        self._tree.links[row] = self._tree.links.get(row, 1) + 1

    def remove(self, parts: Parts) -> None:
        """Remove *parts*, and everything below it."""
        self._release(self._tree.writable(parts[:-1]).entries.pop(parts[-1]))

    def rename(self, old: Parts, new: Parts) -> None:
        """Move the inode at *old* to *new*, replacing an existing entry."""
        value = self._tree.writable(old[:-1]).entries.pop(old[-1])
        self._set(new, value)

    def _new_row(self, member: Member) -> int:
        self._tree.table.add(self._layer, [member])
        return len(self._tree.table) - 1

    def _set(self, parts: Parts, value: Value) -> None:
        entries = self._tree.writable(parts[:-1]).entries
        old = entries.get(parts[-1])
        entries[parts[-1]] = value
        if old is not None:
            self._release(old)

    def _find(self, parts: Parts) -> Value | None:
        value: Value | None = self._tree.top
        for name in parts:
            value = value.entries.get(name) if isinstance(value, Directory) else None
        return value

    def _value(self, parts: Parts) -> Value:
        value = self._find(parts)
        assert value is not None
        return value

    def _release(self, value: Value) -> None:
        """Count the names of inodes at and below *value*, which the tree no longer has."""
        links = self._tree.links
        if not links:
            return
        for _, _, each in self._tree.steps(value):
            if isinstance(each, int) and each in links:
                links[each] -= 1
                if links[each] == 1:
                    del links[each]

    def _repoint(self, old: int, new: int) -> None:
        """Replace *old* under all its names, which only a walk of the tree finds."""
        names = [(prefix, name) for prefix, name, each in self._tree.steps() if each == old]
        for prefix, name in names:
            parent = [part for part in prefix.split(b"/") if part]
            self._tree.writable(parent).entries[name] = new
        self._tree.links[new] = self._tree.links.pop(old)
