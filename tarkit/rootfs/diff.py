"""Compare the root filesystems of two images, path by path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from tarkit.image.digest import Digest
from tarkit.rootfs.changes import changes
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.node import Node
from tarkit.rootfs.table import DataLocation
from tarkit.streams.chunks import chunks_of
from tarkit.tar.member import Member, MemberType
from tarkit.tar.sparse import logical
from tarkit.values import dataclass


class DifferenceKind(Enum):
    """The kind of difference at a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that differs: absolute, as in :class:`~tarkit.rootfs.filesystem.Entry`.

    ``fields`` names the differing fields if both images have the path: ``type``, ``content``,
    ``target`` or ``device`` (only if ``CHANGED``), ``mode``, ``owner``, ``mtime``, ``xattrs``,
    ``links``.
    """

    path: str
    kind: DifferenceKind
    fields: tuple[str, ...] = ()


class _Pair(NamedTuple):
    path: bytes
    old: Node | None
    new: Node | None


def diff(old: FileSystem, new: FileSystem) -> list[Difference]:
    """Return the differences between *old* and *new*, sorted by path.

    Compare contents by digest, and read them only if metadata cannot decide; each layer is read at
    most once, and verified. Raises the errors of reading layers.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     with tarkit.ImageBuilder(image.source).add_files({"/new": b""}).build() as source:
    ...         with tarkit.FileSystem.of(source) as changed:
    ...             [found.path for found in tarkit.diff(image.files, changed)]
    ['/new']
    """
    pairs = [
        _Pair(
            path,
            None if before is None else old.tree.node(before),
            None if after is None else new.tree.node(after),
        )
        for path, before, after in changes(old.tree, new.tree, _Comparison(old, new).is_same)
    ]
    unclear = [pair for pair in pairs if _is_unclear(pair, old, new)]
    old_digests = _digests(old, [pair.old for pair in unclear if pair.old])
    new_digests = _digests(new, [pair.new for pair in unclear if pair.new])
    # pairs of files whose contents were read and differ
    differing = {pair for pair in unclear if old_digests[pair.old] != new_digests[pair.new]}
    regrouped = _regrouped(pairs)
    found = [
        _compare(pair, content=pair in differing, links=pair.path in regrouped) for pair in pairs
    ]
    return [difference for difference in found if difference is not None]


class _Comparison:
    """Compares rows of the tables of two images."""

    def __init__(self, old: FileSystem, new: FileSystem) -> None:
        self._old, self._new = old, new

    def is_same(self, before: int, after: int) -> bool:
        """Return whether the rows certainly have the same metadata and content, and one name each."""
        old, new = self._old.tree, self._new.tree
        if before in old.links or after in new.links:
            return False
        facts = old.table.facts(before)[1]
        if facts != new.table.facts(after)[1]:
            return False
        traits, size, *_ = facts
        if traits.type is not MemberType.FILE or not size:
            return True
        return _identity(old.node(before), self._old) == _identity(new.node(after), self._new)


def _regrouped(pairs: list[_Pair]) -> set[bytes]:
    """Return the paths whose inodes have different sets of names in the two images."""
    old_names: dict[Node, list[bytes]] = {}
    new_names: dict[Node, list[bytes]] = {}
    for path, *nodes in pairs:
        for node, names in zip(nodes, (old_names, new_names), strict=True):
            if node is not None and node.links > 1:
                names.setdefault(node, []).append(path)
    return {
        path for path, old, new in pairs if old and new and old_names.get(old) != new_names.get(new)
    }


def _is_unclear(pair: _Pair, old: FileSystem, new: FileSystem) -> bool:
    """Return whether two files must be read to know if they differ."""
    if pair.old is None or pair.new is None:
        return False
    if pair.old.type is not MemberType.FILE or pair.new.type is not MemberType.FILE:
        return False
    if pair.old.member.size != pair.new.member.size or not pair.old.member.size:
        return False
    return _identity(pair.old, old) != _identity(pair.new, new)


def _identity(node: Node, files: FileSystem) -> tuple[Digest | object, int | None]:
    """Return the layer and offset of the content: inodes with the same identity have the same content."""
    layers = files.contents.layers.layers
    if node.place is None or node.place.layer >= len(layers):
        return object(), None  # equal to nothing else
    return layers[node.place.layer].diff_id, node.place.offset


def _digests(files: FileSystem, nodes: list[Node]) -> dict[Node | None, bytes]:
    """Return the digests of the contents of *nodes*."""
    hashes = _Hashes()
    files.contents.deliver([node.row for node in nodes], hashes)
    digests: dict[Node | None, bytes] = {}
    for node in nodes:
        if node.place is not None:
            digests[node] = hashes.digests[node.place]
        else:  # the file is one hole, so no layer stores data that could reach the sink
            hasher = hashlib.sha256()
            with files.contents.open(node) as stream:
                for chunk in chunks_of(stream):
                    hasher.update(chunk)
            digests[node] = hasher.digest()
    return digests


class _Hashes:
    """A sink that hashes the data of each file."""

    def __init__(self) -> None:
        self.digests: dict[DataLocation, bytes] = {}

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
        hasher = hashlib.sha256()
        for chunk in logical(member, chunks):
            hasher.update(chunk)
        self.digests[place] = hasher.digest()


def _compare(pair: _Pair, *, content: bool, links: bool) -> Difference | None:
    path = (b"/" + pair.path).decode("utf-8", "surrogateescape")
    if pair.old is None:
        return Difference(path, DifferenceKind.ADDED)
    if pair.new is None:
        return Difference(path, DifferenceKind.REMOVED)
    changed = _changed(pair.old.member, pair.new.member, content=content)
    metadata = _metadata(pair.old, pair.new, links=links)
    if changed:
        return Difference(path, DifferenceKind.CHANGED, (*changed, *metadata))
    return Difference(path, DifferenceKind.METADATA, metadata) if metadata else None


def _changed(old: Member, new: Member, *, content: bool) -> tuple[str, ...]:
    if old.type is not new.type:
        return ("type",)
    match new.type:
        case MemberType.FILE:
            differs, field = content or old.size != new.size, "content"
        case MemberType.SYMLINK:
            differs, field = old.linkname != new.linkname, "target"
        case MemberType.CHAR | MemberType.BLOCK:
            devices = (old.devmajor, old.devminor), (new.devmajor, new.devminor)
            differs, field = devices[0] != devices[1], "device"
        case _:
            differs, field = False, ""
    return (field,) if differs else ()


def _metadata(old: Node, new: Node, *, links: bool) -> tuple[str, ...]:
    before, after = old.member, new.member
    both_links = before.type is after.type is MemberType.SYMLINK  # their modes have no meaning
    differs = {
        "mode": before.mode != after.mode and not both_links,
        "owner": (before.uid, before.gid) != (after.uid, after.gid),
        "mtime": before.mtime_ns != after.mtime_ns,
        "xattrs": dict(before.xattrs) != dict(after.xattrs),
        "links": links,
    }
    return tuple(field for field, is_different in differs.items() if is_different)
