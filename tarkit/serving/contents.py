"""The contents of a registry: the images of an archive, or of a layout that may change."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.layout.layout import INDEX_FILE
from tarkit.protocols import Reader
from tarkit.serving.catalogue import Catalogue, ServedBlob
from tarkit.serving.names import RegistryNaming
from tarkit.streams.closeable import Closeable
from tarkit.streams.os_errors import os_errors
from tarkit.transports.oci_layout.reader import DirectoryFiles, OCILayoutReader


class ServedImages(Closeable):
    """The images of an open *reader*, which :meth:`close` closes."""

    def __init__(self, reader: Reader, naming: RegistryNaming) -> None:
        self._reader = reader
        self._catalogue = Catalogue(reader, naming)

    @property
    def catalogue(self) -> Catalogue:
        """The images as they are now."""
        return self._catalogue

    def manifest_at(self, digest: Digest) -> RawManifest | None:
        """Return the manifest or index with *digest*, or None if no image has it."""
        return self.catalogue.manifest_at(digest)

    def blob(self, digest: Digest) -> ServedBlob | None:
        """Return the blob with *digest*, or None if there is none."""
        return self.catalogue.blob(digest)

    def close(self) -> None:
        """Close the reader."""
        self._reader.__exit__(None, None, None)


class ServedLayout(ServedImages):
    """The images of the layout directory *path*, read again whenever its index changes."""

    def __init__(self, path: Path, naming: RegistryNaming, *, follow_links: bool = False) -> None:
        self.path = path
        self.naming = naming
        self.files = DirectoryFiles(path, follow_links=follow_links)
        self._follow_links = follow_links
        self._refreshing = Lock()
        self._seen = self._stamp()
        super().__init__(self._open(), naming)

    @property
    def catalogue(self) -> Catalogue:
        """The images as they are now."""
        with self._refreshing:
            stamp = self._stamp()  # before reading, so that a change in between is noticed later
            if stamp != self._seen:
                self._catalogue = Catalogue(self._open(), self.naming)
                self._seen = stamp
            return self._catalogue

    def manifest_at(self, digest: Digest) -> RawManifest | None:
        """Return the manifest or index with *digest*, or None if no image has it."""
        # Most unknown digests are those of a push; they need no search of all images.
        if self.files.blob_size(digest) is None and not self.catalogue.is_top(digest):
            return None
        return super().manifest_at(digest)

    def blob(self, digest: Digest) -> ServedBlob | None:
        """Return the blob with *digest*, or None if there is none."""
        size = self.files.blob_size(digest)
        return None if size is None else ServedBlob(size, lambda: self.files.open_blob(digest))

    def _open(self) -> Reader:
        return OCILayoutReader.open(self.path, follow_links=self._follow_links)

    def _stamp(self) -> tuple[int, ...]:
        with os_errors(self.path / INDEX_FILE):
            found = (self.path / INDEX_FILE).stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
