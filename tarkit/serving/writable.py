"""A layout directory that accepts pushes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from threading import RLock
from typing import BinaryIO, Self

from tarkit.blobs.store import BlobStore
from tarkit.blobs.writing import BlobWriter
from tarkit.errors import BlobNotFoundError, RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, Layout
from tarkit.layout.referenced import referenced
from tarkit.serving.catalogue import ServedBlob, blobs_of, parse
from tarkit.serving.contents import ServedLayout
from tarkit.serving.entries import with_tagged, with_untagged, without_manifest, without_tag
from tarkit.serving.names import Place, RegistryNaming
from tarkit.serving.problems import Problem
from tarkit.serving.uploads import Uploads
from tarkit.streams.atomic import write_file
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_vacant, staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.reader import DirectoryFiles


class WritableLayout(ServedLayout):
    """The layout *directory* and blobs that clients pushed to *staging* for it.

    A blob stays in the staging directory until the first manifest that refers to it arrives. Then
    the blobs move to the layout, and its index changes last, under the lock that all writers take.
    Blobs without a manifest disappear with the staging directory.
    """

    def __init__(
        self,
        directory: Directory,
        path: Path,
        naming: RegistryNaming,
        staging: Directory,
        stack: ExitStack,
    ) -> None:
        super().__init__(path, naming)
        self._directory = directory
        self._stack = stack
        self._lock = RLock()
        self._staged_files = BlobStore(staging.reference)
        self._staged = stack.enter_context(BlobWriter(staging))
        self.uploads = stack.enter_context(Uploads(self._staged))

    @classmethod
    def open(cls, path: Path, naming: RegistryNaming) -> Self:
        """Open the layout at *path*; create it if it is missing.

        Raises :class:`RefusedError` if *path* holds anything but a layout.
        """
        with ExitStack() as stack:
            with os_errors(path):
                path.mkdir(parents=True, exist_ok=True)
                directory = stack.enter_context(Directory.open(path))
            _require_layout(directory, path)
            staging = stack.enter_context(staging_directory(directory))
            return cls(directory, path, naming, staging, stack.pop_all())

    def blob(self, digest: Digest) -> ServedBlob | None:
        """Return the blob with *digest*, or None if it is neither staged nor in the layout."""
        # In this order, because blobs move from the staging directory to the layout.
        size = self._staged.size(digest)
        if size is None:
            return super().blob(digest)
        return ServedBlob(size, lambda: self._open_blob(digest))

    def put_manifest(self, reference: Place | Digest, raw: RawManifest) -> Digest | None:
        """Add *raw* under a tag or only under its digest; return the digest of its subject, if any.

        Raises :class:`Problem` if content that it refers to is missing.
        """
        content = _checked(raw)
        needed = tuple(blobs_of(content))
        with self._lock, locked_directory(self._directory), BlobWriter(self._directory) as blobs:
            self._require(needed)
            old = self._layout()
            index = old.listing()
            if isinstance(reference, Place):
                below = {child.digest for child in needed} if raw.is_index else set()
                index = with_tagged(index, raw.descriptor, reference, self.naming, below)
            elif self.manifest_at(raw.digest) is None:
                index = with_untagged(index, raw.descriptor)
            with self.uploads.publishing:
                moved = [b.digest for b in needed if self._staged.size(b.digest) is not None]
                blobs.adopt(self._staged, dict.fromkeys(moved))
            _store(blobs, raw)
            self._write(blobs, old, index)
        return content.subject.digest if content.subject else None

    def delete_tag(self, place: Place) -> None:
        """Remove the tag *place*; its image stays, without it."""
        with self._lock, locked_directory(self._directory), BlobWriter(self._directory) as blobs:
            old = self._layout()
            self._write(blobs, old, without_tag(old.listing(), place, self.naming))

    def delete_manifest(self, repository: str, digest: Digest) -> None:
        """Remove the image with *digest* from *repository*; its layers stay until they are pruned.

        Raises :class:`Problem` if it is only part of an index.
        """
        with self._lock, locked_directory(self._directory), BlobWriter(self._directory) as blobs:
            old = self._layout()
            index = without_manifest(old.listing(), digest, repository, self.naming)
            if index == old.listing():
                raise Problem("DENIED", f"{digest} is part of another image; delete that")
            self._write(blobs, old, index)
            if digest not in referenced(self._layout()):
                blobs.remove(digest)

    def delete_blob(self, digest: Digest) -> None:
        """Remove a blob; raises :class:`Problem` if an image needs it."""
        with self._lock, locked_directory(self._directory), BlobWriter(self._directory) as blobs:
            if digest in referenced(self._layout()):
                raise Problem("DENIED", f"blob {digest} is part of an image; delete that")
            with self.uploads.publishing:
                self._staged.remove(digest)
                blobs.remove(digest)

    def close(self) -> None:
        """Discard staged blobs and uploads, and close the layout."""
        self._stack.close()
        super().close()

    def _require(self, needed: Iterable[Descriptor]) -> None:
        for descriptor in needed:
            blob = self.blob(descriptor.digest)
            if blob is None:
                raise Problem("MANIFEST_BLOB_UNKNOWN", f"blob {descriptor.digest} is missing")
            if blob.size != descriptor.size:
                message = f"{descriptor.digest} has {blob.size} bytes, not {descriptor.size}"
                raise Problem("MANIFEST_INVALID", message)

    def _open_blob(self, digest: Digest) -> BinaryIO:
        try:
            return self._staged_files.open(digest)
        except BlobNotFoundError:  # it has moved
            return self.files.open_blob(digest)

    def _layout(self) -> Layout:
        return Layout.read(DirectoryFiles(self._directory.reference, where=str(self.path)))

    def _write(self, blobs: BlobWriter, old: Layout, index: Index) -> None:
        if old.is_flat():  # the new index lists the old index, which must become a blob
            _store(blobs, old.top)
        if index != old.index:
            write_file(self._directory, INDEX_FILE, index.serialize().data)


def _checked(raw: RawManifest) -> Manifest | Index:
    content = Index.parse(raw) if raw.is_index else parse(raw)
    if content is None:
        raise Problem("MANIFEST_INVALID", f"unsupported media type {raw.media_type[:200]!r}")
    return content


def _store(blobs: BlobWriter, raw: RawManifest) -> None:
    blobs.put(VerifyingReader(io.BytesIO(raw.data), digest=raw.digest))
    blobs.sync()


def _require_layout(directory: Directory, path: Path) -> None:
    """Make the empty *directory* a layout; raise :class:`RefusedError` if it holds other files."""
    with locked_directory(directory):
        if directory.lookup(MARKER_FILE) is None:
            if not is_vacant(directory):
                raise RefusedError(
                    "exists and is not an OCI layout",
                    where=str(path),
                    hint="name a new or empty directory",
                )
            write_file(directory, INDEX_FILE, EMPTY_INDEX.serialize().data)
            write_file(directory, MARKER_FILE, MARKER)
        Layout.read(DirectoryFiles(path))
    with BlobWriter(directory) as blobs:
        blobs.require_inside()
