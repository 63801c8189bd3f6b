"""Resolve the paths of entries during a merge, and create missing parent directories.

Siblings share the same few links in their path, so a directory reached through links is cached
until an entry might change the target of one of them.
"""

from __future__ import annotations

from typing import NamedTuple

from tarkit.errors import LimitExceededError
from tarkit.rootfs.limits import STEPS_PER_ENTRY, MergeLimits
from tarkit.rootfs.names import MAX_DEPTH, Parts, require_visible
from tarkit.rootfs.tree import Node, Trail, Tree
from tarkit.tar.member import Member, MemberType


class _Reached(NamedTuple):
    """An inode, and the length of its path without links."""

    node: Node
    length: int


class Resolver:
    """Finds inodes of *tree*, and makes directories in it, within *limits*."""

    def __init__(self, tree: Tree, limits: MergeLimits) -> None:
        self._tree = tree
        self._limits = limits
        self._behind_links: dict[bytes, _Reached] = {}
        # The last directory found; the next entry is most often in the same one.
        self._last: Parts | None = None
        self._last_node = tree.root

    def forget(self) -> None:
        """Clear the caches, because some paths may now lead elsewhere."""
        self._last = None
        self._behind_links.clear()

    def put(self, directory: Node, name: bytes, node: Node) -> None:
        """Set the entry *name* of *directory* to *node*, replacing any old entry."""
        children = directory.children
        assert children is not None
        old = children.get(name)
        if node.member.type is MemberType.SYMLINK or (old is not None and _leads_on(old)):
            self.forget()
        children[name] = node

    def remove(self, directory: Node, name: bytes) -> None:
        """Remove the entry *name* of *directory*, if it has one."""
        old = directory.children.pop(name, None) if directory.children else None
        if old is not None and _leads_on(old):
            self.forget()

    def clear(self, directory: Node) -> None:
        """Remove all entries of *directory*."""
        if directory.children:
            directory.children.clear()
            self.forget()

    def get(self, parts: Parts) -> Node | None:
        """Return the inode at *parts*, or None if there is none; a link at its end is not followed."""
        if not parts:
            return self._tree.root
        directory = self.directory(parts[:-1])
        return directory.children.get(parts[-1]) if directory and directory.children else None

    def real_parts(self, parts: Parts) -> Parts:
        """Return *parts* with every link followed, even if the end does not exist."""
        trail = self._trail(parts)
        return trail.names + trail.missing

    def make_directory(self, parts: Parts, member: Member, layer: int) -> Node:
        """Return the directory at *parts*; create missing directories with the metadata of *member*.

        Follows links, and replaces files on the way.
        """
        found = self.directory(parts)
        if found is not None and found.children is not None:
            return found
        trail = self._trail(parts)
        if len(trail.nodes) + len(trail.missing) > MAX_DEPTH:
            raise LimitExceededError(f"path has more than {MAX_DEPTH} directories", limit=MAX_DEPTH)
        return self._make(trail, member, layer)

    def directory(self, parts: Parts) -> Node | None:
        """Return the inode at *parts*, following links, or None if there is none."""
        if parts == self._last:
            return self._last_node
        if len(parts) > STEPS_PER_ENTRY:
            self._limits.follow(len(parts))
        node: Node = self._tree.root
        for name in parts:
            child = node.children.get(name) if node.children else None
            if child is None or child.children is None:
                break
            node = child
        else:
            self._last, self._last_node = parts, node
            return node
        if child is None or child.type is not MemberType.SYMLINK:
            return None
        return self._behind_link(parts)

    def _behind_link(self, parts: Parts) -> Node | None:
        path = b"/".join(parts)
        reached = self._behind_links.get(path)
        if reached is None:
            trail = self._trail(parts)
            if trail.missing:
                return None
            reached = _Reached(trail.nodes[-1], _length(trail.names))
            self._behind_links[path] = reached
        # even if cached: each entry behind the link has this long path in a walk
        self._limits.add_path(reached.length)
        return reached.node

    def _trail(self, parts: Parts) -> Trail:
        trail = self._tree.trail(parts)
        self._limits.follow(trail.steps)
        return trail

    def _make(self, trail: Trail, member: Member, layer: int) -> Node:
        nodes, names, missing = trail.nodes, trail.names, trail.missing
        while nodes[-1].children is None:  # a file in the place of a directory is replaced
            missing.insert(0, names.pop())
            nodes.pop()
        require_visible(missing)
        node = nodes[-1]
        length = _length(names)
        for name in missing:
            length += 1 + len(name)
            self._limits.add_directory()
            self._limits.add_path(length)
            child = Node(member, layer, {})
            self.put(node, name, child)
            node = child
        return node


def _leads_on(node: Node) -> bool:
    """Return whether *node* can be on the way to another path: a directory or a symbolic link."""
    return node.children is not None or node.member.type is MemberType.SYMLINK


def _length(names: Parts) -> int:
    """Return the length in bytes of the path that consists of *names*."""
    return sum(map(len, names)) + len(names)
