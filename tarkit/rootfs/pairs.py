"""Pair the paths of two root filesystems that may differ: for the report, and for layers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from tarkit.rootfs.changes import changes
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.node import Node
from tarkit.rootfs.table import DataLocation
from tarkit.streams.chunks import chunks_of
from tarkit.tar.member import Member, MemberType
from tarkit.tar.sparse import logical


class Pair(NamedTuple):
    """A path and its inode in the old and the new root filesystem, or None."""

    path: bytes
    old: Node | None
    new: Node | None


def pairs(old: FileSystem, new: FileSystem) -> Iterator[Pair]:
    """Yield the paths that may differ, parents first, siblings by name; read no content.

    Directories and inodes that both have are skipped, and so are those whose metadata and place of
    data are the same. All names of hard links are included, because others may have been added.
    """
    before, after = old.tree, new.tree
    for path, first, second in changes(before, after, _Comparison(old, new).is_same):
        yield Pair(
            path,
            None if first is None else before.node(first),
            None if second is None else after.node(second),
        )


def is_unclear(pair: Pair, old: FileSystem, new: FileSystem) -> bool:
    """Return True if two files must be read to know if their contents differ."""
    if pair.old is None or pair.new is None:
        return False
    if pair.old.type is not MemberType.FILE or pair.new.type is not MemberType.FILE:
        return False
    if pair.old.member.size != pair.new.member.size or not pair.old.member.size:
        return False
    return _identity(pair.old, old) != _identity(pair.new, new)


def differing(found: list[Pair], old: FileSystem, new: FileSystem) -> set[Pair]:
    """Return the pairs of *found* whose contents differ; each layer is read at most once, and verified.

    All of them must be unclear. Raises the errors of reading layers.
    """
    old_digests = _digests(old, [pair.old for pair in found if pair.old])
    new_digests = _digests(new, [pair.new for pair in found if pair.new])
    return {pair for pair in found if old_digests[pair.old] != new_digests[pair.new]}


def content_digest(files: FileSystem, node: Node) -> bytes:
    """Return the SHA-256 digest of the content of the file *node*, reading it if necessary."""
    known = files.contents.known_digest(node)
    if known is not None:
        return known
    hasher = hashlib.sha256()
    with files.contents.open(node) as stream:
        for chunk in chunks_of(stream):
            hasher.update(chunk)
    return hasher.digest()


class _Comparison:
    """Compares rows of the tables of two images."""

    def __init__(self, old: FileSystem, new: FileSystem) -> None:
        self._old, self._new = old, new
        self._old_links, self._new_links = old.tree.links, new.tree.links
        self._old_facts, self._new_facts = old.tree.table.facts, new.tree.table.facts
        self._old_part, self._new_part = old.tree.table.part, new.tree.table.part
        numbers = {layer.diff_id: at for at, layer in enumerate(old.contents.layers.layers)}
        self._same_layers = {
            (numbers[layer.diff_id], at)
            for at, layer in enumerate(new.contents.layers.layers)
            if layer.diff_id in numbers
        }
        self._shared = old.tree.table.shared_rows(new.tree.table)

    def is_same(self, before: int, after: int) -> bool:
        """Return True if the rows certainly have the same metadata and content, and one name each."""
        if before in self._old_links or after in self._new_links:
            return False
        if before == after and 0 <= before < self._shared:
            return True
        if before >= 0 and after >= 0:
            first, mine, _ = self._old_part(before)
            other, theirs, _ = self._new_part(after)
            if before - first == after - other and (mine, theirs) in self._same_layers:
                return True  # the same position in the same layer is the same entry
        facts = self._old_facts(before)[1]
        if facts != self._new_facts(after)[1]:
            return False
        traits, size, *_ = facts
        if traits.type is not MemberType.FILE or not size:
            return True
        old, new = self._old, self._new
        return _identity(old.tree.node(before), old) == _identity(new.tree.node(after), new)


def _identity(node: Node, files: FileSystem) -> tuple[object, object]:
    """Return the layer and offset of the content: inodes with the same identity have the same content."""
    place, member = node.place, node.member
    if place is None:
        return None, member.size  # a hole
    return files.contents.identity(place), member.sparse


def _digests(files: FileSystem, nodes: list[Node]) -> dict[Node | None, bytes]:
    """Return the digests of the contents of *nodes*."""
    hashes = _Hashes()
    files.contents.deliver([node.row for node in nodes], hashes)
    digests: dict[Node | None, bytes] = {}
    for node in nodes:
        if node.place is not None:
            digests[node] = hashes.digests[node.place]
        else:  # the file is one hole, so no layer stores data that could reach the sink
            digests[node] = content_digest(files, node)
    return digests


class _Hashes:
    """A sink that hashes the data of each file."""

    def __init__(self) -> None:
        self.digests: dict[DataLocation, bytes] = {}

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Hash the data of *member*, located at *place*."""
        hasher = hashlib.sha256()
        for chunk in logical(member, chunks):
            hasher.update(chunk)
        self.digests[place] = hasher.digest()
