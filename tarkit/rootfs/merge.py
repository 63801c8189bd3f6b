"""Merge the entries of an image's layers into one tree. Pure: reads no data.

Each layer first applies all its whiteouts, then adds its entries in order, so whiteouts never
affect their own layer, regardless of their position. See image-spec layer.md, "Applying
Changesets"; if the specification is silent, the merge does as umoci and Docker do.
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
    """Return the metadata of a directory that no layer lists."""
    return Member(b"", MemberType.DIRECTORY, mode=0o755, mtime_ns=mtime_ns)


class Merger:
    """Merges layers, bottom first, into :attr:`tree`.

    Parent directories that no layer lists get mode 0755, owner 0:0 and *mtime_ns*. Absolute names
    and names that leave the image are errors if *strict*; otherwise they are resolved inside its root.
    """

    def __init__(self, *, mtime_ns: int = 0, strict: bool = False) -> None:
        self._implied = implied_directory(mtime_ns)
        self._strict = strict
        self._limits = MergeLimits()
        self._linked: set[Node] = set()
        self.tree = Tree(Node(self._implied, 0, {}))
        self._resolver = Resolver(self.tree, self._limits)

    def add(self, layer: int, members: Sequence[Member]) -> None:
        """Apply *members*, the entries of layer number *layer*, on top of the tree.

        Raises :class:`MalformedError`, :class:`UnsupportedError` for entries of unknown types,
        :class:`UnsafePathError` and :class:`LimitExceededError`.
        """
        self._limits.add_entries(len(members))
        links = HardLinks(self._resolver, layer, self._linked, strict=self._strict)
        _Layer(self.tree, layer, self._implied, self._resolver, links, strict=self._strict).add(
            members
        )

    def count_links(self) -> None:
        """Set the link count of every hard-linked inode to the number of its remaining names."""
        for node in self._linked:
            node.links = 0
        if self._linked:
            for _, node in self.tree.walk():
                if node in self._linked:
                    node.links += 1


class _Layer:
    """Applies one layer to *tree*."""

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
        """Apply the whiteouts among *members*, then add the other entries."""
        entries: list[tuple[Parts, Member]] = []
        markers: list[tuple[Parts, bytes]] = []
        for member in members:
            parts = split(member.name, strict=self._strict)
            if WHITEOUT in member.name:
                self._sort(parts, member, entries, markers)
            else:
                entries.append((parts, member))
        # Whiteouts and entries of this layer may remove the targets, so look them up first.
        if self._tree.root.children:
            for _, member in entries:
                if member.type is MemberType.HARDLINK:
                    self._links.note_lower(member)
        if markers:
            listed = {b"/".join(p) for p, m in entries if m.type is MemberType.DIRECTORY}
            for parts, hidden in markers:
                self._hide(parts[:-1], hidden, listed)
        self._resolver.forget()  # the whiteouts may have removed links or directories
        for parts, member in entries:
            self._place(parts, member)
        self._links.bind_waiting()

    def _sort(
        self,
        parts: Parts,
        member: Member,
        entries: list[tuple[Parts, Member]],
        markers: list[tuple[Parts, bytes]],
    ) -> None:
        if parts and is_private(parts):
            if member.type is MemberType.FILE:  # AUFS stores the inodes of hard links here
                self._links.aufs[b"/".join(parts)] = Node(member, self._number)
            return
        require_visible(parts[:-1])
        hidden = hidden_name(parts)
        if hidden is None:
            entries.append((parts, member))
        else:
            markers.append((parts, hidden))

    def _hide(self, directory: Parts, hidden: bytes, listed: set[bytes]) -> None:
        """Remove *hidden*, or all entries if it is ``OPAQUE``, from *directory* in the tree.

        If this layer replaces a link on the way with a directory, the link's target is unaffected.
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
            raise UnsupportedError("entry of unknown type", where=path_of(parts))
        if not parts:
            if kind is not MemberType.DIRECTORY:
                raise MalformedError("the root is not a directory", where="/")
            self._tree.root.member, self._tree.root.layer = member, self._number
            return
        # Before make_directory, which may replace the target.
        target = self._links.target(member) if kind is MemberType.HARDLINK else None
        parent = self._resolver.make_directory(parts[:-1], self._implied, self._number)
        assert parent.children is not None
        name = parts[-1]
        if kind is MemberType.DIRECTORY:
            old = parent.children.get(name)
            if old is not None and old.children is not None:  # new metadata, same entries
                old.member, old.layer = member, self._number
                return
            node = Node(member, self._number, {})
        elif kind is MemberType.HARDLINK:
            node = target or self._links.wait(parent, parts, member)
        else:
            node = Node(member, self._number)
        if kind is MemberType.FILE and name not in parent.children:
            parent.children[name] = (
                node  # the common case: no path can change, so nothing to forget
            )
        else:
            self._resolver.put(parent, name, node)
