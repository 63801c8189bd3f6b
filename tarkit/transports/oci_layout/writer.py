"""Writing an OCI layout directory: staged beside it, moved in at the end, the index last."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import RawManifest
from tarkit.layout.destination import DIRECTORY_PROFILE, LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, Layout
from tarkit.streams.atomic import atomic_file, os_errors, sync_directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.staging import is_vacant, staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.blobs import StagedBlobs
from tarkit.transports.oci_layout.reader import DirectoryFiles


class OCILayoutWriter:
    """Adds images to the OCI layout at *path*, or makes a new one.

    Blobs are written to a staging directory on the same filesystem. A new layout appears by one
    rename; a directory that is there gets the blobs first and its ``index.json`` last, under a lock,
    so that any number of writers can add to it at once and readers never see half of anything.

    With *verify_existing*, a blob that is there already is reused only after it was hashed;
    otherwise its size decides.
    """

    def __init__(self, path: Path, staging: Path, stack: ExitStack, verify_existing: bool) -> None:
        self.where = str(path)
        self._path = path
        self._stack = stack
        self._staging = staging
        self._blobs = StagedBlobs(path, staging, verify_existing=verify_existing)
        self._entries: list[Descriptor] = []

    @classmethod
    def open(cls, path: str | Path, *, verify_existing: bool = False) -> Self:
        """Begin writing; raises :class:`RefusedError` where *path* holds something else."""
        path = Path(path)
        if path.is_dir():
            with locked_directory(path):  # another writer may be about to make it a layout
                cls._require_layout(path)
        elif path.exists():
            cls._require_layout(path)
        with ExitStack() as stack:
            parent = path if path.exists() else path.absolute().parent
            staging = stack.enter_context(staging_directory(parent))
            return cls(path, staging, stack.pop_all(), verify_existing)

    @staticmethod
    def _require_layout(path: Path) -> None:
        """Raise :class:`RefusedError` unless *path* is an empty directory, or a layout that can be read."""
        with os_errors(path):
            if (path / MARKER_FILE).exists():
                Layout.read(DirectoryFiles(path))
            elif not is_vacant(path):
                raise RefusedError(
                    "exists and is not an OCI layout",
                    where=str(path),
                    hint="name a new or empty directory",
                )

    def destination(self, *names: str) -> LayoutDestination:
        """See :class:`tarkit.transports.base.Writer`."""

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
                self._publish()

    def _publish(self) -> None:
        if not self._path.exists() and self._publish_whole():
            return
        with locked_directory(self._path):
            if not (self._path / MARKER_FILE).exists():  # whenever this ends, it is a layout
                self._write(self._path / INDEX_FILE, EMPTY_INDEX.serialize().data)
                self._write(self._path / MARKER_FILE, MARKER)
            old = Layout.read(DirectoryFiles(self._path))
            if old.is_flat():
                self._blobs.put(VerifyingReader(io.BytesIO(old.top.data)))
            self._blobs.existing.adopt(self._blobs.staged)
            index = with_entries(old.listing(), self._entries)
            if index != old.index:
                self._write(self._path / INDEX_FILE, index.serialize().data)
            sync_directory(self._path)

    def _publish_whole(self) -> bool:
        """Make the staging directory the layout; false where another writer was first."""
        index = with_entries(EMPTY_INDEX, self._entries).serialize()
        self._write(self._staging / MARKER_FILE, MARKER)
        self._write(self._staging / INDEX_FILE, index.data)
        try:
            self._staging.rename(self._path)
        except OSError:
            if (self._path / MARKER_FILE).exists():
                return False
            raise
        sync_directory(self._path.absolute().parent)
        return True

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        with atomic_file(path) as file:
            file.write(data)
