"""Decide which entries a layer needs to turn one root filesystem into another.

The rules are those of containerd and BuildKit. A removed path is a whiteout; a directory that becomes
a file is just the file. Each entry comes after its parent directories, even a whiteout. There are no
entries for the root, for directories of which only the time changed, and for new names of files that
are otherwise unchanged: such a name becomes a file of its own. So a layer never refers to those below
it, and merging root filesystems means concatenating their layers.
"""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.names import WHITEOUT, require_visible
from tarkit.rootfs.node import Node
from tarkit.rootfs.output.tar_order import TarEntry
from tarkit.rootfs.pairs import Pair, content_digest, differing, is_unclear, pairs
from tarkit.rootfs.trail import Directory
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member, MemberType
from tarkit.values import replace

SECOND = 1_000_000_000
"""The resolution of times in layers, in nanoseconds."""

_REMOVED = Member(b"", mode=0)


def layer_entries(old: FileSystem, new: FileSystem) -> Iterator[tuple[TarEntry, Node | None]]:
    """Yield the entries that turn *old* into *new*, and the inode of each; None for a whiteout.

    Raises :class:`~tarkit.errors.MalformedError` for a name that begins like a whiteout, and the
    errors of reading layers if contents must be compared.
    """
    parents = _Parents(new.tree)
    firsts: dict[Node, bytes] = {}
    for path, node in _changed(old, new):
        yield from parents.before(path)
        require_visible(path.split(b"/")[-1:])
        if node is None:
            parent, slash, name = path.rpartition(b"/")
            yield TarEntry(parent + slash + WHITEOUT + name, _REMOVED, b""), None
        elif node.directory is not None:
            yield from parents.enter(path, node.directory)
        else:
            first = firsts.setdefault(node, path) if node.links > 1 else path
            yield _entry(path, node, first if first != path else b""), node


def _changed(old: FileSystem, new: FileSystem) -> Iterator[tuple[bytes, Node | None]]:
    """Yield each changed path and its new inode, or None for the top of a removed tree."""
    gone = b""  # the last path whose old entries all disappear with it
    for pair in _decided(old, new):
        path, before, after = pair
        if not path or (gone and path.startswith(gone)):
            continue
        yield path, after
        if before is not None and before.directory and (after is None or not after.directory):
            gone = path + b"/"


def _decided(old: FileSystem, new: FileSystem) -> Iterator[Pair]:
    """Yield the pairs that differ; read contents only if metadata cannot decide."""
    found = ((pair, _metadata(pair.old) == _metadata(pair.new)) for pair in pairs(old, new))
    found = ((pair, same) for pair, same in found if not same or is_unclear(pair, old, new))
    if old.contents.layers.are_plain and new.contents.layers.are_plain:
        for pair, unclear in found:
            if not unclear or not _has_same_content(pair, old, new):
                yield pair
        return
    listed = list(found)  # compressed layers are read once, so compare all contents together
    unclear_pairs = [pair for pair, unclear in listed if unclear]
    same_content = set(unclear_pairs) - differing(unclear_pairs, old, new)
    yield from (pair for pair, _ in listed if pair not in same_content)


def _has_same_content(pair: Pair, old: FileSystem, new: FileSystem) -> bool:
    assert pair.old is not None
    assert pair.new is not None
    return content_digest(old, pair.old) == content_digest(new, pair.new)


def _metadata(node: Node | None) -> tuple[object, ...] | None:
    """Return all metadata that a layer keeps and that counts as a change."""
    if node is None:
        return None
    _, (traits, size, mtime_ns, xattrs) = node.facts
    kind, mode, uid, gid, linkname, _, _, major, minor, _ = traits
    owner = (kind, uid, gid, dict(xattrs))
    match kind:
        case MemberType.FILE:
            return (*owner, mode, mtime_ns // SECOND, size)
        case MemberType.SYMLINK:  # links have no mode of their own
            return (*owner, mtime_ns // SECOND, linkname)
        case MemberType.DIRECTORY:
            return (*owner, mode)
        case _:
            return (*owner, mode, mtime_ns // SECOND, major, minor)


def _entry(path: bytes, node: Node, link: bytes = b"") -> TarEntry:
    meta = node.member
    if meta.mtime_ns % SECOND:
        meta = replace(meta, mtime_ns=meta.mtime_ns // SECOND * SECOND)
    return TarEntry(path, meta, link)


class _Parents:
    """Lists each directory of *tree* once, before the first entry below it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._names: list[bytes] = []
        self._directories = [tree.top]

    def before(self, path: bytes) -> Iterator[tuple[TarEntry, Node]]:
        """Yield the parent directories of *path* that were not listed yet."""
        names = path.split(b"/")[:-1]
        depth = 0
        while depth < min(len(names), len(self._names)) and names[depth] == self._names[depth]:
            depth += 1
        del self._names[depth:], self._directories[depth + 1 :]
        for name in names[depth:]:
            directory = self._directories[-1].entries[name]
            assert isinstance(directory, Directory)
            yield from self.enter(b"/".join([*self._names, name]), directory)

    def enter(self, path: bytes, directory: Directory) -> Iterator[tuple[TarEntry, Node]]:
        """Yield the entry of *directory*, whose parents are listed."""
        self._names.append(path.rpartition(b"/")[2])
        self._directories.append(directory)
        node = self._tree.node(directory)
        yield _entry(path, node), node
