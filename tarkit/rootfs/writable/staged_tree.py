"""A tree with staged changes: each step goes to the journal and to the tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from tarkit.errors import (
    BlobNotFoundError,
    MalformedError,
    PathNotFoundError,
    RefusedError,
    TarkitError,
)
from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.filesystem import Path as PathName
from tarkit.rootfs.image_files import ImageFiles
from tarkit.rootfs.names import MAX_DEPTH, WHITEOUT, Parts, path_of
from tarkit.rootfs.node import Node
from tarkit.rootfs.writable.edits import TreeEdits
from tarkit.rootfs.writable.journal import Journal, pack, raw, text, unpack
from tarkit.rootfs.writable.staging import OpenLayer, Staging
from tarkit.streams.chunks import chunks_of
from tarkit.streams.os_errors import os_errors
from tarkit.tar.data import ArchiveData
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member
from tarkit.values import replace

_MAX_NAME = 255  # of Linux, in bytes


class StagedFileSystem(ImageFiles):
    """A root filesystem that starts as *base*, with the changes in *directory*; see
    :class:`tarkit.rootfs.writable.filesystem.WritableFileSystem`.

    Files in *directory*: ``journal`` (:mod:`tarkit.rootfs.writable.journal`), and ``data`` with the
    contents of new files. Every step takes real paths, as :meth:`existing` and :meth:`vacant`
    return them, and is in the journal before it is in the tree. After :meth:`flush`, no step is lost
    if the process is killed.
    """

    def __init__(
        self,
        base: FileSystem,
        directory: Path,
        *,
        open_layer: OpenLayer | None = None,
        clock: Callable[[], int] | None = None,
    ) -> None:
        with os_errors(directory):
            directory.mkdir(mode=0o700, exist_ok=True)
        self._clock = clock or _now
        self._where = str(directory)
        tree = base.tree.fork()
        self._base, self._open_other = base.contents, open_layer
        self._kept_layers: dict[Digest, ArchiveData | None] = {}
        self._staging = Staging(directory / "data", self._open_layer)
        super().__init__(tree, base.contents.fork(tree.table, self._staging))
        self._layer = len(base.contents.layers) + 1
        self._edits = TreeEdits(tree, self._layer)
        with ExitStack() as stack:
            stack.callback(self._staging.close)
            self._journal = Journal(directory / "journal")
            stack.callback(self._journal.close)
            self._replay()
            stack.pop_all()

    @property
    def needed_layers(self) -> tuple[Digest, ...]:
        """Other layers than those below that hold data of files copied in place: do not delete them."""
        below = {layer.diff_id for layer in self._base.layers.layers}
        return tuple(diff_id for diff_id in self._staging.layers if diff_id not in below)

    @property
    def is_changed(self) -> bool:
        """Whether there are any staged changes."""
        return self._journal.count > 0

    def sync(self) -> None:
        """Put all changes so far on the disk."""
        self._staging.sync()
        self._journal.sync()

    def close(self) -> None:
        """Close the files in the directory; the changes stay there."""
        self._journal.close()
        self._staging.close()
        super().close()

    def now(self, mtime_ns: int | None = None) -> int:
        """Return *mtime_ns*, or the time now."""
        return self._clock() if mtime_ns is None else mtime_ns

    def existing(self, path: PathName, *, follow: bool) -> Parts:
        """Return the real path of *path*; raises :class:`PathNotFoundError`."""
        parts = self.tree.parts(path)
        trail = self.tree.trail(parts, follow=follow)
        if trail.missing:
            raise PathNotFoundError("no such file or directory", where=path_of(parts))
        return trail.names

    def locate(self, path: PathName, *, follow: bool) -> Parts:
        """Return the real path of *path*, which may be missing, but not its parent directory."""
        parts = self.tree.parts(path)
        trail = self.tree.trail(parts, follow=follow)
        if trail.missing and trail.directory is None:
            raise RefusedError("not a directory", where=path_of(trail.names))
        if len(trail.missing) > 1:
            raise PathNotFoundError("no such directory", where=path_of(parts[:-1]))
        return checked(trail.names + trail.missing)

    def vacant(self, path: PathName) -> Parts:
        """Return the real path of *path*, which must be missing, but not its parent directory."""
        parts = self.locate(path, follow=False)
        if self.lookup(parts) is not None:
            raise RefusedError("exists already", where=path_of(parts))
        return parts

    def lookup(self, parts: Parts) -> Node | None:
        """Return the inode at the real path *parts*, or None."""
        return self.tree.get(parts, follow=False)

    def stage(self, pieces: Iterable[bytes | memoryview], member: Member) -> Member:
        """Write new data; return *member* with its size and place."""
        offset, size = self._staging.append(pieces)
        return replace(
            member, size=size, sparse=None, offset=offset, data_offset=offset, stored=size
        )

    def adopt(self, source: FileSystem, node: Node, meta: Member) -> Member:
        """Return *meta* with the place of the data of *node*, an inode of *source*.

        Data stays in its layer if that can be read at any offset; other data is staged.
        """
        place = node.place
        if place is None:
            return replace(meta, offset=0, data_offset=0)
        if source is self and place.layer == self._layer:
            return meta
        archive = source.contents.archive(place.layer)
        is_base = source is self or source.contents.layers is self.contents.layers
        if archive is not None and (is_base or source.contents.is_in_place(place.layer)):
            diff_id = source.contents.layers.layers[place.layer].diff_id
            kept = archive if is_base else self._kept(diff_id, archive)
            if kept is not None:
                offset = self._start_of(diff_id, kept) + place.offset
                return replace(meta, offset=offset, data_offset=offset)
        with source.contents.open_stored(node) as data:
            staged = self.stage(chunks_of(data), meta)
        return replace(staged, size=meta.size, sparse=meta.sparse)

    def _kept(self, diff_id: Digest, archive: ArchiveData) -> ArchiveData | None:
        """Return the data of another layer, independent of its source; None if it cannot be kept."""
        if self._open_other is None:
            return archive
        if diff_id not in self._kept_layers:  # once for all files of a layer
            self._kept_layers[diff_id] = None
            with suppress(TarkitError):
                self._kept_layers[diff_id] = self._open_other(diff_id)
        return self._kept_layers[diff_id]

    def _start_of(self, diff_id: Digest, archive: ArchiveData) -> int:
        """Return the staged offset of the first byte of a layer."""
        if diff_id not in self._staging.layers:
            self._journal.append("layer", str(diff_id))
        return self._staging.add_layer(diff_id, archive)

    def put(self, parts: Parts, member: Member) -> None:
        """Put a new inode at *parts*, in place of any other."""
        self._journal.append("put", packed(parts), pack(member))
        self._edits.put(parts, replace(member, name=b"/".join(parts)))

    def amend(self, parts: Parts, **fields: Any) -> None:
        """Change *fields* of the metadata of the inode at *parts*."""
        node = self.tree.find(parts, follow=False)
        self.change(parts, self.adopt(self, node, replace(node.member, **fields)))

    def change(self, parts: Parts, member: Member) -> None:
        """Replace the metadata and the data of the inode at *parts*, under all its names."""
        self._journal.append("change", packed(parts), pack(member))
        self._edits.change(parts, replace(member, name=b"/".join(parts)))

    def put_link(self, parts: Parts, first: Parts) -> None:
        """Make *parts* another name of the file at *first*, in place of any other."""
        self._journal.append("link", packed(parts), packed(first))
        self._edits.link(parts, first)

    def drop(self, parts: Parts) -> None:
        """Remove *parts*, and everything below it."""
        self._journal.append("remove", packed(parts))
        self._edits.remove(parts)

    def move(self, old: Parts, new: Parts) -> None:
        """Move the inode at *old* to *new*, in place of any other."""
        self._journal.append("rename", packed(old), packed(new))
        self._edits.rename(old, new)

    def touch(self, parts: Parts, mtime_ns: int | None = None) -> None:
        """Set the time of the directory at *parts*, whose entries have changed."""
        self.amend(parts, mtime_ns=self.now(mtime_ns))

    def flush(self) -> None:
        """Write the journal, so that all changes outlive this process."""
        self._journal.flush()

    def _open_layer(self, diff_id: Digest) -> ArchiveData:
        """Open the layer of a file that was copied in place before this directory was opened."""
        for number, layer in enumerate(self._base.layers.layers):
            archive = self._base.archive(number) if layer.diff_id == diff_id else None
            if archive is not None:
                return archive
        if self._open_other is None:
            raise BlobNotFoundError(f"no layer {diff_id}", where=self._where)
        return self._open_other(diff_id)

    def _replay(self) -> None:
        """Make the changes in the journal."""
        for name, arguments in self._journal.changes():
            try:
                self._repeat(name, *arguments)
            except (KeyError, TypeError, ValueError, AssertionError, AttributeError, TarkitError):
                raise MalformedError(
                    f"a staged change {name!r} does not fit its root filesystem", where=self._where
                ) from None

    def _repeat(self, change: str, path: str, *rest: Any) -> None:
        if change == "layer":
            self._staging.add_layer(Digest.parse(path), None)
            return
        parts = [part for part in raw(path).split(b"/") if part]
        match change:
            case "put" | "change":
                member = unpack(b"/".join(parts), *rest)
                self._staging.require(member)
                (self._edits.put if change == "put" else self._edits.change)(parts, member)
            case "link" | "rename":
                other = [part for part in raw(*rest).split(b"/") if part]
                (self._edits.link if change == "link" else self._edits.rename)(parts, other)
            case "remove":
                self._edits.remove(parts)
            case _:
                raise ValueError(change)


def checked(parts: Parts) -> Parts:
    """Return *parts*; raises :class:`RefusedError` if a layer or Linux cannot have the last name."""
    name = parts[-1] if parts else b""
    if name.startswith(WHITEOUT):
        raise RefusedError("names in a layer cannot begin with '.wh.'", where=path_of(parts))
    if len(name) > _MAX_NAME or b"\0" in name or len(parts) > MAX_DEPTH:
        raise RefusedError("name too long, or with a NUL", where=path_of(parts)[:300])
    return parts


def packed(parts: Parts) -> str:
    """Return *parts* for the journal."""
    return text(b"/".join(parts))


def _now() -> int:
    epoch = source_date_epoch()
    return time.time_ns() if epoch is None else epoch * 1_000_000_000
