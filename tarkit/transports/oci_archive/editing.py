"""Change the index of an OCI archive: a new archive takes its place by rename."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tarkit.errors import RefusedError
from tarkit.image.digest import blob_name
from tarkit.layout.editing import Edit, Edited
from tarkit.layout.layout import INDEX_FILE, Layout
from tarkit.tar.rewriting import rewrite_archive
from tarkit.transports.oci_archive.reader import OCIArchiveReader


def edit_oci_archive(path: Path, change: Callable[[Layout], Edit]) -> Edited:
    """Carry out the :class:`Edit` that *change* returns for the archive at *path*.

    All blobs that stay keep their bytes. Raises the errors of *change* and of
    :func:`rewrite_archive`, and :class:`RefusedError` if no image would be left.
    """
    with OCIArchiveReader.open(path) as reader:
        edit = change(reader.layout)
        if not edit.index.manifests:
            raise RefusedError(
                "it is the only image", where=str(path), hint="remove the file instead"
            )
        gone = [
            member
            for digest in sorted(edit.removed)
            for member in reader.archive.candidates(blob_name(digest))
        ]
        files = {blob_name(document.digest): document.data for document in edit.added}
        files[INDEX_FILE] = edit.index.serialize().data
        rewrite_archive(reader.archive, path, files=files, without=gone)
        return Edited(edit, len(gone), sum(member.stored for member in gone))
