"""Compare the root filesystems of two images, path by path."""

from __future__ import annotations

from enum import Enum

from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.node import Node
from tarkit.rootfs.pairs import Pair, differing, is_unclear, pairs
from tarkit.tar.member import Member, MemberType
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
    paired = list(pairs(old, new))
    changed = differing([pair for pair in paired if is_unclear(pair, old, new)], old, new)
    regrouped = _regrouped(paired)
    found = [
        _compare(pair, content=pair in changed, links=pair.path in regrouped) for pair in paired
    ]
    return [difference for difference in found if difference is not None]


def _regrouped(paired: list[Pair]) -> set[bytes]:
    """Return the paths whose inodes have different sets of names in the two images."""
    old_names: dict[Node, list[bytes]] = {}
    new_names: dict[Node, list[bytes]] = {}
    for path, *nodes in paired:
        for node, names in zip(nodes, (old_names, new_names), strict=True):
            if node is not None and node.links > 1:
                names.setdefault(node, []).append(path)
    return {
        path
        for path, old, new in paired
        if old and new and old_names.get(old) != new_names.get(new)
    }


def _compare(pair: Pair, *, content: bool, links: bool) -> Difference | None:
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
