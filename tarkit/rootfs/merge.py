"""The merge: what the entries of layers, laid on one another, add up to. Pure; reads no data.

A layer first hides what its whiteouts say, and then adds its entries in their order. So whiteouts
never touch their own layer, wherever in it they stand. Specified in image-spec layer.md,
"Applying Changesets"; where that is silent, umoci and Docker are followed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.rootfs.hardlinks import HardLinks
from tarkit.rootfs.limits import MergeLimits
from tarkit.rootfs.names import (
    OPAQUE,
    WHITEOUT,
    Parts,
    hidden_name,
    is_private,
    path_of,
    require_visible,
    split,
)
from tarkit.rootfs.resolve import Resolver
from tarkit.rootfs.tree import Node, Tree
from tarkit.tar.member import Member, MemberType


def implied_directory(mtime_ns: int) -> Member:
    """What a directory is that no layer lists."""
    return Member(b"", MemberType.DIRECTORY, mode=0o755, mtime_ns=mtime_ns)


class Merger:
    """Lays layers on one another, bottom first; :attr:`tree` is what they have become so far.

    Directories that are in no layer but on the way to something get mode 0755, owner 0:0 and
    *mtime_ns*. Names that are absolute or lead out of the image are refused where *strict*, and
    otherwise stop at its root.
    """

    def __init__(self, *, mtime_ns: int = 0, strict: bool = False) -> None:
        self._implied = implied_directory(mtime_ns)
        self._strict = strict
        self._limits = MergeLimits()
        self._linked: set[Node] = set()
        self.tree = Tree(Node(self._implied, 0, {}))
        self._resolver = Resolver(self.tree, self._limits)

    def add(self, layer: int, members: Sequence[Member]) -> None:
        """Lay the *members* of one more layer, number *layer*, on top.

        Raises :class:`MalformedError`, :class:`UnsupportedError` for entries of unknown types,
        :class:`UnsafePathError` and :class:`LimitExceededError`.
        """
        self._limits.add_entries(len(members))
        links = HardLinks(self._resolver, layer, self._linked, strict=self._strict)
        _Layer(self.tree, layer, self._implied, self._resolver, links, strict=self._strict).add(
            members
        )

    def count_links(self) -> None:
        """Give every inode of several names the number of those that are left."""
        for node in self._linked:
            node.links = 0
        if self._linked:
            for _, node in self.tree.walk():
                if node in self._linked:
                    node.links += 1


class _Layer:
    """One layer on its way into *tree*."""

    def __init__(
        self,
        tree: Tree,
        number: int,
        implied: Member,
        resolver: Resolver,
        links: HardLinks,
        *,
        strict: bool,
    ) -> None:
        self._tree = tree
        self._strict = strict
        self._number = number
        self._implied = implied
        self._resolver = resolver
        self._links = links

    def add(self, members: Sequence[Member]) -> None:
        """Hide what *members* hide, then lay the others on the tree."""
        entries: list[tuple[Parts, Member]] = []
        markers: list[tuple[Parts, bytes]] = []
        for member in members:
            parts = split(member.name, strict=self._strict)
            if WHITEOUT in member.name:
                self._sort_out(parts, member, entries, markers)
            else:
                entries.append((parts, member))
        if self._tree.root.children:
            for _, member in entries:
                if member.type is MemberType.HARDLINK:
                    self._links.note_lower(member)
        if markers:
            listed = {b"/".join(p) for p, m in entries if m.type is MemberType.DIRECTORY}
            for parts, hidden in markers:
                self._hide(parts[:-1], hidden, listed)
        self._resolver.forget()
        for parts, member in entries:
            self._place(parts, member)
        self._links.bind_waiting()

    def _sort_out(
        self,
        parts: Parts,
        member: Member,
        entries: list[tuple[Parts, Member]],
        markers: list[tuple[Parts, bytes]],
    ) -> None:
        if parts and is_private(parts):
            if member.type is MemberType.FILE:  # AUFS kept the inodes of hard links here
                self._links.aufs[b"/".join(parts)] = Node(member, self._number)
            return
        require_visible(parts[:-1])
        hidden = hidden_name(parts)
        if hidden is None:
            entries.append((parts, member))
        else:
            markers.append((parts, hidden))

    def _hide(self, directory: Parts, hidden: bytes, listed: set[bytes]) -> None:
        """Take *hidden*, or everything, out of what the layers below have in *directory*.

        Where this layer lists a directory in place of a link, what the link led to is not meant.
        """
        node: Node | None = self._tree.root
        for depth, name in enumerate(directory, 1):
            node = node.children.get(name) if node and node.children else None
            if node is None:
                return
            if node.type is MemberType.SYMLINK:
                if b"/".join(directory[:depth]) in listed:
                    return
                node = self._resolver.directory(directory)
                break
        if node is None:
            return
        if hidden == OPAQUE:
            self._resolver.clear(node)
        else:
            self._resolver.remove(node, hidden)

    def _place(self, parts: Parts, member: Member) -> None:
        kind = member.type
        if kind is MemberType.OTHER:
            raise UnsupportedError("an entry of an unknown type", where=path_of(parts))
        if not parts:
            if kind is not MemberType.DIRECTORY:
                raise MalformedError("the root is not a directory", where="/")
            self._tree.root.member, self._tree.root.layer = member, self._number
            return
        target = self._links.target(member) if kind is MemberType.HARDLINK else None
        parent = self._resolver.make_directory(parts[:-1], self._implied, self._number)
        assert parent.children is not None
        name = parts[-1]
        if kind is MemberType.DIRECTORY:
            old = parent.children.get(name)
            if old is not None and old.children is not None:
                old.member, old.layer = member, self._number
                return
            node = Node(member, self._number, {})
        elif kind is MemberType.HARDLINK:
            node = target or self._links.wait(parent, parts, member)
        else:
            node = Node(member, self._number)
        if kind is MemberType.FILE and name not in parent.children:
            parent.children[name] = node  # as most entries are; nothing else can change
        else:
            self._resolver.put(parent, name, node)
