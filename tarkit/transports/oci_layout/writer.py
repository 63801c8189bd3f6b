"""Write an OCI layout directory: stage blobs, then move them in, and write the index last."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Self

from tarkit.blobs.writing import BlobWriter
from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.layout.destination import DIRECTORY_PROFILE, LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, Layout
from tarkit.layout.names import require_names
from tarkit.layout.referenced import referenced
from tarkit.layout.referrers import list_entry, lists_in, referrer_lists
from tarkit.streams.atomic import write_file
from tarkit.streams.closeable import Publishing
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_vacant, parent_of, staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.blobs import StagedBlobs
from tarkit.transports.oci_layout.reader import DirectoryFiles
from tarkit.values import dataclass

_NEW = "layout"


class OCILayoutWriter(Publishing):
    """Adds images to the OCI layout at *path*, or creates a new one.

    Blobs are written to a staging directory on the same filesystem. A new layout appears by one
    rename. An existing layout is updated under a lock, blobs first and ``index.json`` last, so any
    number of writers can add to it concurrently and readers never see a partial image. If a write
    fails, its blobs are removed.

    If *verify_existing*, existing blobs are hashed before reuse; otherwise a matching size is
    enough.

    >>> with (
    ...     tarkit.open_source("fixtures/hello.tar") as source,
    ...     tarkit.OCILayoutWriter.open("layout-written") as writer,
    ... ):
    ...     _ = tarkit.copy_image(source, writer.destination("example.org/hello:1"))
    """

    def __init__(
        self, path: Path, directories: _Directories, stack: ExitStack, verify_existing: bool
    ) -> None:
        self.where = str(path)
        self._path = path
        self._directories = directories
        self._stack = stack
        reused = path if directories.layout else None
        self._blobs = StagedBlobs(reused, directories.new, verify_existing=verify_existing)
        stack.enter_context(self._blobs.staged)
        self._entries: list[Descriptor] = []
        self._referrers: list[RawManifest] = []

    @classmethod
    def open(cls, path: str | Path, *, verify_existing: bool = False) -> Self:
        """Begin writing.

        Raises :class:`RefusedError` if *path* contains anything but a layout, and
        :class:`UnsafePathError` if links in it would lead writes outside.
        """
        path = Path(path)
        with ExitStack() as stack:
            directories = _Directories.open(path, stack)
            return cls(path, directories, stack.pop_all(), verify_existing)

    def destination(self, *names: str) -> LayoutDestination:
        """Return the destination of an image under *names*.

        Raises :class:`UsageError` if a name is invalid.
        """
        require_names(names)

        def add_entries(manifest: RawManifest) -> None:
            self._entries += named_entries(manifest, names)

        return LayoutDestination(self.where, DIRECTORY_PROFILE, self._blobs, add_entries)

    def referrer(self) -> LayoutDestination:
        """Return a Destination for one artifact, which becomes a referrer of its subject."""
        return LayoutDestination(self.where, DIRECTORY_PROFILE, self._blobs, self._referrers.append)

    def undoing(self) -> AbstractContextManager[None]:
        """Return a block for storing one image; if it raises, the stored data is removed again."""
        return self._blobs.undoing()

    def _end(self, succeeded: bool) -> None:
        """Publish the committed images, unless the block raised an error."""
        with self._stack:
            if succeeded and (self._entries or self._referrers):
                with os_errors(self._path):
                    self._publish()

    def _publish(self) -> None:
        layout = self._directories.layout
        if layout is not None:
            _require_same(layout, self._path)
            self._add_to(layout)
        elif not self._publish_new():  # another writer created the path first
            with self._directories.parent.open_directory(self._path.name) as other:
                _require_layout(other, self._path)
                self._add_to(other)

    def _add_to(self, layout: Directory) -> None:
        with locked_directory(layout), BlobWriter(layout) as blobs:
            # If the process dies after writing the marker, the layout is valid and empty.
            if layout.lookup(MARKER_FILE) is None:
                write_file(layout, INDEX_FILE, EMPTY_INDEX.serialize().data)
                write_file(layout, MARKER_FILE, MARKER)
            old = self._read(layout)
            if old.is_flat():  # the new index lists the old index, which must become a blob
                self._blobs.put(VerifyingReader(io.BytesIO(old.top.data)))
            lists = self._list_referrers(lists_in(old) if self._referrers else {})
            index = with_entries(old.listing(), [*self._entries, *lists])

            # Read again, since a writer without the lock may have changed the index.
            def needed() -> set[Digest]:
                return referenced(self._read(layout))

            with self._blobs.moved_to(blobs, needed):
                if index != old.index:
                    write_file(layout, INDEX_FILE, index.serialize().data)

    def _list_referrers(self, old: Mapping[str, Index]) -> list[Descriptor]:
        """Store indexes of the new referrers, which extend the *old* ones; return their entries."""
        lists = referrer_lists(old, self._referrers)
        for index in lists.values():
            self._blobs.put(VerifyingReader(io.BytesIO(index.data)))
        return [list_entry(name, index) for name, index in lists.items()]

    def _read(self, layout: Directory) -> Layout:
        return Layout.read(DirectoryFiles(layout.reference, where=self.where))

    def _publish_new(self) -> bool:
        """Rename the staged layout to the path; return False if the path exists by now."""
        new, parent, name = self._directories.new, self._directories.parent, self._path.name
        entries = [*self._entries, *self._list_referrers({})]
        index = with_entries(EMPTY_INDEX, entries).serialize()
        write_file(new, MARKER_FILE, MARKER, durable=False)
        write_file(new, INDEX_FILE, index.data, durable=False)
        self._blobs.staged.sync()
        new.sync()
        try:
            self._directories.staging.publish(_NEW, parent, name, expected=new.status())
        except OSError:
            if parent.lookup(name) is None:
                raise
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Directories:
    """The *layout* if it exists, the *parent* of *staging*, and *new*, a directory in *staging*."""

    layout: Directory | None
    parent: Directory
    staging: Directory
    new: Directory

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> Self:
        """Open the directories needed to write to *path*; *stack* closes them."""
        with os_errors(path):
            layout = stack.enter_context(Directory.open(path)) if path.is_dir() else None
            if layout is not None:
                with locked_directory(layout):  # another writer may be initialising it
                    _require_layout(layout, path)
                parent = layout
            else:
                _require_free(path)
                parent = stack.enter_context(parent_of(path.absolute()))
            staging = stack.enter_context(staging_directory(parent))
            return cls(layout, parent, staging, stack.enter_context(staging.make(_NEW)))


def _require_layout(layout: Directory, path: Path) -> None:
    """Raise an error unless *layout* is empty, or a readable layout without links out of it."""
    if layout.lookup(MARKER_FILE) is not None:
        Layout.read(DirectoryFiles(path))
        with BlobWriter(layout) as blobs:
            blobs.require_inside()
    elif not is_vacant(layout):
        raise _not_a_layout(path)


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _not_a_layout(path)


def _require_same(layout: Directory, path: Path) -> None:
    """Raise :class:`RefusedError` if *path* no longer refers to *layout*."""
    if not os.path.samestat(layout.status(), path.stat()):
        raise RefusedError("another process replaced the directory", where=str(path))


def _not_a_layout(path: Path) -> RefusedError:
    return RefusedError(
        "exists and is not an OCI layout", where=str(path), hint="name a new or empty directory"
    )
