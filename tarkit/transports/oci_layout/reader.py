"""Read an OCI layout directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from tarkit.blobs.store import BlobStore
from tarkit.errors import PathNotFoundError
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.layout.layout import Layout
from tarkit.protocols import ImageEntry
from tarkit.streams.closeable import Closeable
from tarkit.streams.files import FOLLOW_LINKS_HINT, read_file, require_inside

if TYPE_CHECKING:
    from tarkit.layout.source import LayoutSource


class DirectoryFiles:
    """The files of a layout directory; links to outside are refused unless *follow_links*."""

    def __init__(self, path: Path, *, where: str | None = None, follow_links: bool = False) -> None:
        self.where = where or str(path)
        self._path = path
        self._follow_links = follow_links
        self._store = BlobStore(path, follow_links=follow_links, hint=FOLLOW_LINKS_HINT)

    def read(self, name: str) -> bytes | None:
        """Return the metadata file *name*, or None if it is missing."""
        if not self._follow_links:
            require_inside(self._path / name, self._path, hint=FOLLOW_LINKS_HINT)
        try:
            return read_file(self._path / name, METADATA_LIMIT)
        except PathNotFoundError:
            return None

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of the blob in bytes, or None if it is missing."""
        return self._store.size(digest)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open the blob, unverified; raise :class:`BlobNotFoundError` if it is missing."""
        return self._store.open(digest)


class OCILayoutReader(Closeable):
    """The images of an OCI layout directory (image-spec image-layout.md).

    >>> with tarkit.OCILayoutReader.open("alpha/umoci-oci") as reader:
    ...     [name for image in reader.images() for name in image.names]
    ['one', 'two']
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.where = layout.files.where

    @classmethod
    def open(cls, path: str | Path, *, follow_links: bool = False) -> Self:
        """Open the layout at *path*.

        If *follow_links*, files may be links to outside the layout; all blobs are verified by their
        digests anyway. Raises :class:`PathNotFoundError` if *path* is not a directory, and
        :class:`MalformedError` if it is not a layout.
        """
        path = Path(path)
        if not path.is_dir():
            reason = "not a directory" if path.exists() else "no such directory"
            raise PathNotFoundError(reason, where=str(path))
        return cls(Layout.read(DirectoryFiles(path, follow_links=follow_links)))

    def images(self) -> Sequence[ImageEntry]:
        """Return the images in the order of ``index.json``."""
        return self.layout.images()

    def source(self, name: str | None = None, *, index: int | None = None) -> LayoutSource:
        """Return the image with *name* or at *index*, or the only image."""
        from tarkit.layout.source import LayoutSource  # `list` has no use for it

        image = self.layout.find(name, index)
        return LayoutSource(self.layout, image.descriptor, image.names[:1])

    def close(self) -> None:
        """Do nothing, because no file stays open between calls."""
