"""The merge: what the entries of layers, laid on one another, add up to. Pure; reads no data.

A layer first hides what its whiteouts say, and then adds its entries in their order. So whiteouts
never touch their own layer, wherever in it they stand. Specified in image-spec layer.md,
"Applying Changesets"; where that is silent, umoci and Docker are followed.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import LimitExceededError, MalformedError, UnsupportedError
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
from tarkit.rootfs.tree import Node, Tree
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown

MAX_ENTRIES = 8_000_000
"""Most entries that the layers of an image may have altogether."""

_NOT_YET = Member(b"", MemberType.HARDLINK)


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
        self._entries = 0
        self._linked: set[Node] = set()
        self.tree = Tree(Node(self._implied, 0, {}))

    def add(self, layer: int, members: Sequence[Member]) -> None:
        """Lay the *members* of one more layer, number *layer*, on top.

        Raises :class:`MalformedError`, :class:`UnsupportedError` for entries of unknown types,
        :class:`UnsafePathError` and :class:`LimitExceededError`.
        """
        self._entries += len(members)
        if self._entries > MAX_ENTRIES:
            raise LimitExceededError(f"more than {MAX_ENTRIES} entries", limit=MAX_ENTRIES)
        _Layer(self.tree, layer, self._implied, self._linked, strict=self._strict).add(members)

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
        self, tree: Tree, number: int, implied: Member, linked: set[Node], *, strict: bool
    ) -> None:
        self._tree = tree
        self._strict = strict
        self._number = number
        self._template = Node(implied, number)
        self._linked = linked
        self._private: dict[bytes, Node] = {}
        self._pending: dict[Node, tuple[Parts, Member]] = {}

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
        if markers:
            listed = {b"/".join(p) for p, m in entries if m.type is MemberType.DIRECTORY}
            for parts, hidden in markers:
                self._hide(parts[:-1], hidden, listed)
        for parts, member in entries:
            self._place(parts, member)
        for node, (parts, member) in self._pending.items():
            self._complete(node, parts, member)

    def _sort_out(
        self,
        parts: Parts,
        member: Member,
        entries: list[tuple[Parts, Member]],
        markers: list[tuple[Parts, bytes]],
    ) -> None:
        if parts and is_private(parts):
            if member.type is MemberType.FILE:  # AUFS kept the inodes of hard links here
                self._private[b"/".join(parts)] = Node(member, self._number)
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
                node = self._tree.get(directory)
                break
        if node is None or node.children is None:
            return
        if hidden == OPAQUE:
            node.children.clear()
        else:
            node.children.pop(hidden, None)

    def _place(self, parts: Parts, member: Member) -> None:
        kind = member.type
        if kind is MemberType.OTHER:
            raise UnsupportedError("an entry of an unknown type", where=path_of(parts))
        if not parts:
            if kind is not MemberType.DIRECTORY:
                raise MalformedError("the root is not a directory", where="/")
            self._tree.root.member, self._tree.root.layer = member, self._number
            return
        parent = self._tree.make_directory(parts[:-1], self._template)
        children = parent.children
        assert children is not None
        name = parts[-1]
        if kind is MemberType.DIRECTORY:
            old = children.get(name)
            if old is not None and old.children is not None:
                old.member, old.layer = member, self._number
            else:
                children[name] = Node(member, self._number, {})
        elif kind is MemberType.HARDLINK:
            self._link(children, parts, member)
        else:
            children[name] = Node(member, self._number)

    def _link(self, children: dict[bytes, Node], parts: Parts, member: Member) -> None:
        """Give the inode another name, or wait for it: this layer may bring it, or a newer one, yet."""
        target = self._target(member)
        if target is not None and self._is_own_file(target):
            children[parts[-1]] = self._share(target, parts)
            return
        place = [*self._tree.real_parts(parts[:-1]), parts[-1]]
        waiting = children[parts[-1]] = Node(_NOT_YET, self._number)
        self._pending[waiting] = (place, member)

    def _complete(self, waiting: Node, place: Parts, member: Member) -> None:
        """Put what a link leads to in the place of the inode that kept it."""
        parent: Node | None = self._tree.root
        for name in place[:-1]:
            parent = parent.children.get(name) if parent and parent.children else None
        if not parent or not parent.children or parent.children.get(place[-1]) is not waiting:
            return  # the layer itself put something else there
        seen: set[Node] = set()
        target = self._target(member)
        while target is not None and target.member is _NOT_YET and target not in seen:
            seen.add(target)
            target = self._target(self._pending[target][1])
        if target is None or target.member is _NOT_YET:
            raise MalformedError(
                f"a hard link to {shown(member.linkname)}, which is not there",
                where=path_of(place),
            )
        parent.children[place[-1]] = self._share(target, place)

    def _is_own_file(self, node: Node) -> bool:
        """Whether this layer brought *node*, and it can have another name."""
        own = node.layer == self._number and node.member is not _NOT_YET
        return own and node.children is None

    def _target(self, member: Member) -> Node | None:
        parts = split(member.linkname, strict=self._strict)
        if self._private and (kept := self._private.get(b"/".join(parts))):
            return kept
        return self._tree.get(parts, follow=False)

    def _share(self, target: Node, parts: Parts) -> Node:
        if target.children is not None:
            raise MalformedError("a hard link to a directory", where=path_of(parts))
        self._linked.add(target)
        return target
