"""Writing an OCI layout directory: staged beside it, moved in at the end, the index last."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.blobs.writing import BlobWriter
from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.layout.destination import DIRECTORY_PROFILE, LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, Layout
from tarkit.layout.referenced import referenced
from tarkit.streams.atomic import write_file
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_vacant, staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.blobs import StagedBlobs
from tarkit.transports.oci_layout.reader import DirectoryFiles

_NEW = "layout"


class OCILayoutWriter:
    """Adds images to the OCI layout at *path*, or makes a new one.

    Blobs are written to a staging directory on the same filesystem. A new layout appears by one
    rename; an existing one gets the blobs first and its ``index.json`` last, under a lock, so that
    any number of writers can add to it at once and readers never see half of anything. A writer
    that fails takes its blobs out again.

    With *verify_existing*, a blob that is there already is reused only after it was hashed;
    otherwise its size decides.
    """

    def __init__(self, path: Path, place: _Place, stack: ExitStack, verify_existing: bool) -> None:
        self.where = str(path)
        self._path = path
        self._place = place
        self._stack = stack
        reused = path if place.layout else None
        self._blobs = StagedBlobs(reused, place.new, verify_existing=verify_existing)
        stack.enter_context(self._blobs.staged)
        self._entries: list[Descriptor] = []

    @classmethod
    def open(cls, path: str | Path, *, verify_existing: bool = False) -> Self:
        """Begin writing.

        Raises :class:`RefusedError` if *path* holds something else, or if its blobs would be written
        to another place, where links lead.
        """
        path = Path(path)
        with ExitStack() as stack:
            place = _Place.open(path, stack)
            return cls(path, place, stack.pop_all(), verify_existing)

    def destination(self, *names: str) -> LayoutDestination:
        """See :class:`tarkit.protocols.Writer`."""

        def list_it(manifest: RawManifest) -> None:
            self._entries += named_entries(manifest, names)

        return LayoutDestination(self.where, DIRECTORY_PROFILE, self._blobs, list_it)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish what was committed, unless the block ended in an error."""
        with self._stack:
            if kind is None and self._entries:
                with os_errors(self._path):
                    self._publish()

    def _publish(self) -> None:
        layout = self._place.layout
        if layout is not None:
            _require_same(layout, self._path)
            self._add_to(layout)
        elif not self._publish_whole():  # another writer was first
            with self._place.parent.open_directory(self._path.name) as other:
                _require_layout(other, self._path)
                self._add_to(other)

    def _add_to(self, layout: Directory) -> None:
        with locked_directory(layout), BlobWriter(layout) as blobs:
            if layout.lookup(MARKER_FILE) is None:  # whenever this ends, it is a layout
                write_file(layout, INDEX_FILE, EMPTY_INDEX.serialize().data)
                write_file(layout, MARKER_FILE, MARKER)
            old = self._read(layout)
            if old.is_flat():
                self._blobs.put(VerifyingReader(io.BytesIO(old.top.data)))
            index = with_entries(old.listing(), self._entries)

            def needed() -> set[Digest]:
                return referenced(self._read(layout))

            with self._blobs.moved_to(blobs, needed):
                if index != old.index:
                    write_file(layout, INDEX_FILE, index.serialize().data)

    def _read(self, layout: Directory) -> Layout:
        return Layout.read(DirectoryFiles(layout.reference, where=self.where))

    def _publish_whole(self) -> bool:
        """Make the staged layout the one at the path; false if something else has been put there."""
        new, parent, name = self._place.new, self._place.parent, self._path.name
        index = with_entries(EMPTY_INDEX, self._entries).serialize()
        write_file(new, MARKER_FILE, MARKER, durable=False)
        write_file(new, INDEX_FILE, index.data, durable=False)
        self._blobs.staged.sync()
        new.sync()
        try:
            self._place.staging.publish(_NEW, parent, name, expected=new.status())
        except OSError:
            if parent.lookup(name) is None:
                raise
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Place:
    """Open directories: an existing *layout*, the *parent* of the *staging* directory, and in that the *new* one."""

    layout: Directory | None
    parent: Directory
    staging: Directory
    new: Directory

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> Self:
        """Open all that writing to *path* needs until *stack* is closed."""
        with os_errors(path):
            layout = stack.enter_context(Directory.open(path)) if path.is_dir() else None
            if layout is not None:
                with locked_directory(layout):  # another writer may be about to make it a layout
                    _require_layout(layout, path)
                parent = layout
            else:
                _require_free(path)
                above = path.absolute().parent
                with os_errors(above):
                    parent = stack.enter_context(Directory.open(above))
            staging = stack.enter_context(staging_directory(parent))
            return cls(layout, parent, staging, stack.enter_context(staging.make(_NEW)))


def _require_layout(layout: Directory, path: Path) -> None:
    """Raise :class:`RefusedError` unless *layout* is empty, or a layout that can be read and written to."""
    if layout.lookup(MARKER_FILE) is not None:
        Layout.read(DirectoryFiles(path))
        with BlobWriter(layout) as blobs:
            blobs.require_inside()
    elif not is_vacant(layout):
        raise _other_thing(path)


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise _other_thing(path)


def _require_same(layout: Directory, path: Path) -> None:
    """Raise :class:`RefusedError` if *path* does not lead to *layout* any more."""
    if not os.path.samestat(layout.status(), path.stat()):
        raise RefusedError("somebody has put another directory in its place", where=str(path))


def _other_thing(path: Path) -> RefusedError:
    return RefusedError(
        "exists and is not an OCI layout", where=str(path), hint="name a new or empty directory"
    )
