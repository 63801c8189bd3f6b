"""Change the index of an OCI layout directory in place, under its lock."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from tarkit.blobs.writing import BlobWriter
from tarkit.errors import RefusedError
from tarkit.layout.editing import Edit, Edited
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, Layout
from tarkit.streams.atomic import write_file
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_vacant
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.reader import DirectoryFiles, OCILayoutReader


def edit_layout(path: Path, change: Callable[[Layout], Edit]) -> Edited:
    """Carry out the :class:`Edit` that *change* returns for the layout at *path*.

    New documents are stored first, then ``index.json`` is replaced, then blobs are removed; an
    interruption leaves at most blobs that nothing refers to. Raises the errors of *change* and of
    :meth:`OCILayoutReader.open`.
    """
    OCILayoutReader.open(path).close()  # a clear error before anything is locked
    with (
        os_errors(path),
        Directory.open(path) as directory,
        locked_directory(directory),
        BlobWriter(directory) as blobs,
    ):
        edit = change(Layout.read(DirectoryFiles(directory.reference, where=str(path))))
        for document in edit.added:
            blobs.put(VerifyingReader(io.BytesIO(document.data), digest=document.digest))
        blobs.sync()
        write_file(directory, INDEX_FILE, edit.index.serialize().data)
        sizes = {digest: blobs.size(digest) for digest in sorted(edit.removed)}
        stored = {digest: size for digest, size in sizes.items() if size is not None}
        for digest in stored:
            blobs.remove(digest)
        return Edited(edit, len(stored), sum(stored.values()))


def add_blob(path: Path, blob: VerifyingReader) -> None:
    """Store *blob* in the layout at *path*, which is created if it is missing.

    Raises :class:`RefusedError` if *path* holds anything but a layout.
    """
    with os_errors(path):
        if not path.exists():
            with Directory.open(path.absolute().parent) as parent:
                parent.ensure(path.name).close()
    with os_errors(path), Directory.open(path) as directory, BlobWriter(directory) as blobs:
        with locked_directory(directory):
            _require_layout(directory, path)
        blobs.put(blob)
        blobs.sync()


def _require_layout(directory: Directory, path: Path) -> None:
    """Make an empty *directory* a layout; raise an error for anything but a layout."""
    if directory.lookup(MARKER_FILE) is None:
        if not is_vacant(directory):
            raise RefusedError("exists and is not an OCI layout", where=str(path))
        write_file(directory, INDEX_FILE, EMPTY_INDEX.serialize().data)
        write_file(directory, MARKER_FILE, MARKER)
    Layout.read(DirectoryFiles(path))
