"""The interface of a change, and the image it modifies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tarkit.errors import RefusedError, UnsupportedError
from tarkit.rootfs.layer_data import LayerData
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.names import WHITEOUT, Parts, path_of, require_visible
from tarkit.rootfs.node import Node
from tarkit.streams.chunks import read_bounded
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member, MemberType
from tarkit.values import replace

EDIT_LIMIT = 64 << 20
"""Maximum size of a file to edit, in bytes; it is read into memory."""


class Change(Protocol):
    """One change to an image; it sees the results of earlier changes."""

    def parts(self) -> Iterator[bytes]:
        """Yield everything that determines the effect of the change, to be hashed."""
        ...

    def make(self, work: OverlayContext) -> None:
        """Apply the change to *work*."""
        ...


class OverlayContext:
    """The image to which an overlay is being applied."""

    def __init__(self, contents: LayerData, merger: Merger) -> None:
        self._contents = contents
        self._merger = merger
        self._tree = merger.tree
        self._epoch = source_date_epoch()
        self.mtime_ns = (self._epoch or 0) * 1_000_000_000

    def get(self, path: str, *, follow: bool = True) -> Node | None:
        """Return the inode currently at *path*, or None if there is none."""
        return self._tree.get(self._tree.parts(path), follow=follow)

    def find(self, path: str, *, follow: bool = True) -> Node:
        """Return the inode currently at *path*; raises :class:`PathNotFoundError`."""
        return self._tree.find(self._tree.parts(path), follow=follow)

    def real_path(self, path: str) -> str:
        """Return *path* with all links followed, even if the path does not exist."""
        parts = self._tree.real_parts(self._tree.parts(path))
        return b"/".join(parts).decode("utf-8", "surrogateescape")

    def read(self, node: Node, path: str) -> bytes:
        """Return the content of the file *node*; *path* is its name in messages.

        Raises :class:`UnsupportedError` if *node* is not a file, and :class:`LimitExceededError`.
        """
        if node.type is not MemberType.FILE:
            raise UnsupportedError("not a file", where=path)
        with self._contents.open(node) as stream:
            return read_bounded(stream, EDIT_LIMIT, where=path)

    def put(self, path: str, member: Member, data: bytes | Path = b"") -> None:
        """Put *member*, whose name is ignored, with *data* at *path*.

        Times later than ``SOURCE_DATE_EPOCH`` are set to it. A link at *path* is replaced. Raises
        :class:`RefusedError` if a file would replace a directory or the other way round.
        """
        parts = self._tree.parts(path)
        require_visible(parts)
        self._require_room(parts, member.type)
        mtime_ns = member.mtime_ns if self._epoch is None else min(member.mtime_ns, self.mtime_ns)
        named = replace(
            member,
            name=b"/".join(parts),
            mtime_ns=mtime_ns,
            stored=member.size,
            sparse=None,
        )
        self._apply(named, data if member.size else b"")

    def link(self, path: str, first: str) -> None:
        """Add the hard link *path* to the file that was put at *first*."""
        target = b"/".join(self._tree.parts(first))
        self.put(path, Member(b"", MemberType.HARDLINK, linkname=target))

    def rewrite(self, path: str, node: Node, data: bytes) -> None:
        """Replace the content of *node*, the file at *path*, with *data*; keep its metadata."""
        self.put(path, replace(node.member, size=len(data)), data)

    def remove(self, path: str) -> None:
        """Remove *path*; raises :class:`RefusedError` for the root."""
        parts = self._tree.parts(path)
        if not parts:
            raise RefusedError("the root cannot be removed", where="/")
        self._apply(Member(b"/".join([*parts[:-1], WHITEOUT + parts[-1]])))

    def _require_room(self, parts: Parts, kind: MemberType) -> None:
        """Raise :class:`RefusedError` if an entry of type *kind* at *parts* would replace too much.

        Only a file or a link may be replaced, and not by a directory.
        """
        trail = self._tree.trail(parts, follow=kind is not MemberType.SYMLINK)
        where = path_of(trail.names)
        is_directory = kind is MemberType.DIRECTORY
        if trail.directory is None and (is_directory or trail.missing):
            raise RefusedError(
                "a file of the image is in the way", where=where, hint="remove it first"
            )
        if trail.directory is not None and not trail.missing and not is_directory:
            raise RefusedError(
                "a directory of the image is in the way",
                where=where,
                hint="name a path inside it, or remove it first",
            )

    def _apply(self, member: Member, data: bytes | Path = b"") -> None:
        # All changes share the layer number after the image's last one.
        layer, offset = self._contents.add(data)
        self._merger.add(layer, [replace(member, offset=offset, data_offset=offset)])
