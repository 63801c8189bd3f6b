"""Merge the entries of an image's layers into one tree. Pure: reads no data.

Each layer first applies all its whiteouts, then adds its entries in order, so whiteouts never
affect their own layer, regardless of their position. See image-spec layer.md, "Applying
Changesets"; if the specification is silent, the merge does as umoci and Docker do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.rootfs.hardlinks import HardLinks
from tarkit.rootfs.layer_entries import LayerEntries, Siblings
from tarkit.rootfs.limits import MergeLimits
from tarkit.rootfs.names import OPAQUE, Parts, path_of
from tarkit.rootfs.resolve import Resolver
from tarkit.rootfs.table import Table
from tarkit.rootfs.trail import Directory, Value
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member, MemberType


def implied_directory(mtime_ns: int) -> Member:
    """Return the metadata of a directory that no layer lists."""
    return Member(b"", MemberType.DIRECTORY, mode=0o755, mtime_ns=mtime_ns)


class Merger:
    """Merges layers, bottom first, into :attr:`tree`.

    Parent directories that no layer lists get mode 0755, owner 0:0 and *mtime_ns*. Absolute names
    and names that leave the image are errors if *strict*; otherwise they are resolved inside its root.
    If a *tree* is given, for example a fork, the layers are merged on top of it.
    """

    def __init__(
        self, *, mtime_ns: int = 0, strict: bool = False, tree: Tree | None = None
    ) -> None:
        self._strict = strict
        self._limits = MergeLimits()
        if tree is None:
            tree = Tree(Directory(~0, object()), Table(implied_directory(mtime_ns)), {})
        self.tree = tree
        self._linked = set(tree.links)
        self._resolver = Resolver(self.tree, self._limits)

    def add(self, layer: int, members: Iterable[Member]) -> None:
        """Apply *members*, the entries of layer number *layer*, on top of the tree.

        Raises :class:`MalformedError`, :class:`UnsupportedError` for entries of unknown types,
        :class:`UnsafePathError` and :class:`LimitExceededError`.
        """
        first = len(self.tree.table)
        part = self.tree.table.add(layer, members)
        self._limits.add_entries(len(self.tree.table) - first)
        entries = LayerEntries(part, first, strict=self._strict)
        links = HardLinks(self._resolver, self._linked, strict=self._strict)
        _Layer(self.tree, entries, self._resolver, links).apply()

    def count_links(self) -> None:
        """Set the link count of every hard-linked inode to the number of its remaining names."""
        counts = dict.fromkeys(self._linked, 0)
        if counts:
            for value in self.tree.entries():
                if isinstance(value, int) and value in counts:
                    counts[value] += 1
        self.tree.links = {row: count for row, count in counts.items() if count > 1}


class _Layer:
    """Applies the *entries* of one layer to *tree*."""

    def __init__(
        self, tree: Tree, entries: LayerEntries, resolver: Resolver, links: HardLinks
    ) -> None:
        self._tree = tree
        self._entries = entries
        self._layer = entries.layer
        self._resolver = resolver
        self._links = links

    def apply(self) -> None:
        """Apply the whiteouts, then add the other entries."""
        markers = list(self._markers())
        # Whiteouts and entries of this layer may remove the targets, so look them up first.
        if self._tree.top.entries:
            for row, _ in self._entries.of_type(MemberType.HARDLINK):
                self._links.note_lower(self._entries.linkname(row))
        if markers:
            directories = self._entries.of_type(MemberType.DIRECTORY)
            listed = {b"/".join(parts) for _, parts in directories}
            for parts, hidden in markers:
                self._hide(parts[:-1], hidden, listed)
        self._resolver.forget()  # the whiteouts may have removed links or directories
        for siblings in self._entries.siblings():
            self._add(siblings)
        self._links.bind_waiting()

    def _markers(self) -> Iterator[tuple[Parts, bytes]]:
        """Yield the path of each whiteout and the name that it hides; note the inodes of AUFS."""
        for row, parts, hidden in self._entries.unusual():
            if hidden is not None:
                yield parts, hidden
            elif self._entries.type(row) is MemberType.FILE:  # AUFS stores hard links here
                self._links.aufs[b"/".join(parts)] = row

    def _hide(self, path: Parts, hidden: bytes, listed: set[bytes]) -> None:
        """Remove *hidden*, or all entries if it is ``OPAQUE``, from the directory at *path*.

        If this layer replaces a link on the way with a directory, the link's target is unaffected.
        """
        value: Value | None = self._tree.top
        for depth, name in enumerate(path, 1):
            if value is None or isinstance(value, int):
                return
            value = value.entries.get(name)
            if isinstance(value, int) and self._tree.is_symlink(value):
                if b"/".join(path[:depth]) in listed:
                    return
                value = self._resolver.find(path)
                break
        if value is None or isinstance(value, int):
            return
        if value.owner is not self._tree.token:
            value = self._resolver.owned(path)
        if hidden == OPAQUE:
            self._resolver.clear(value)
        else:
            self._resolver.remove(value, hidden)

    def _add(self, siblings: Siblings) -> None:
        first, parent, names, special = siblings
        if parent is None:
            for row in range(first, first + len(names)):
                parts = self._entries.parts(row)
                if parts is not None:
                    self._place(parts, row)
            return
        begin = 0
        for at in special:
            self._add_files(parent, names[begin:at], first + begin)
            self._place([*parent, names[at].rstrip(b"/")], first + at)
            begin = at + 1
        self._add_files(parent, names[begin:], first + begin)

    def _add_files(self, parent: Parts, names: list[bytes], first: int) -> None:
        """Add files to the directory at *parent*, all at once unless one of them changes a path."""
        if not names:
            return
        directory = self._resolver.make_directory(parent, self._layer, len(names))
        rows = range(first, first + len(names))
        if not self._resolver.put_files(directory, names, rows):
            for name, row in zip(names, rows, strict=True):
                self._place([*parent, name], row)

    def _place(self, parts: Parts, row: int) -> None:
        kind = self._entries.type(row)
        if kind is MemberType.OTHER:
            raise UnsupportedError("entry of unknown type", where=path_of(parts))
        if not parts:
            if kind is not MemberType.DIRECTORY:
                raise MalformedError("the root is not a directory", where="/")
            self._resolver.owned([]).row = row
            return
        target = None
        linkname = self._entries.linkname(row)
        if kind is MemberType.HARDLINK:  # before make_directory, which may replace the target
            target = self._links.target(linkname)
        parent = self._resolver.make_directory(parts[:-1], self._layer)
        name = parts[-1]
        if kind is MemberType.DIRECTORY:
            self._place_directory(parent, name, row)
        elif kind is not MemberType.HARDLINK:
            self._resolver.put(parent, name, row)
        elif target is None:
            self._resolver.put(parent, name, self._links.wait(row, parent, parts, linkname))
        else:
            self._resolver.put(parent, name, target)

    def _place_directory(self, parent: Directory, name: bytes, row: int) -> None:
        old = parent.entries.get(name)
        token = self._tree.token
        if old is None or isinstance(old, int):
            self._resolver.put(parent, name, Directory(row, token))
        elif old.owner is token:
            old.row = row  # new metadata, same entries
        else:
            self._resolver.forget()
            parent.entries[name] = Directory(row, token, old.entries.copy())
