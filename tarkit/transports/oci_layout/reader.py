"""Reading an OCI layout directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tarkit.blobs.store import BlobStore
from tarkit.errors import PathNotFoundError
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.layout.layout import Layout, LayoutSource
from tarkit.streams.files import read_file, require_inside
from tarkit.transports.base import ImageEntry


class DirectoryFiles:
    """A layout's files in a directory."""

    def __init__(self, path: Path, *, where: str | None = None) -> None:
        self.where = where or str(path)
        self._path = path
        self._store = BlobStore(path)

    def read(self, name: str) -> bytes | None:
        """See :class:`tarkit.layout.layout.LayoutFiles`."""
        require_inside(self._path / name, self._path)
        try:
            return read_file(self._path / name, METADATA_LIMIT)
        except PathNotFoundError:
            return None

    def blob_size(self, digest: Digest) -> int | None:
        """See :class:`tarkit.layout.layout.LayoutFiles`."""
        return self._store.size(digest)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """See :class:`tarkit.layout.layout.LayoutFiles`."""
        return self._store.open(digest)


class OCILayoutReader:
    """The images of an OCI layout directory (image-spec image-layout.md)."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.where = layout.files.where

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the layout at *path*; raises :class:`PathNotFoundError` and :class:`MalformedError`."""
        path = Path(path)
        if not path.is_dir():
            reason = "not a directory" if path.exists() else "no such directory"
            raise PathNotFoundError(reason, where=str(path))
        return cls(Layout.read(DirectoryFiles(path)))

    def images(self) -> Sequence[ImageEntry]:
        """See :class:`tarkit.transports.base.Reader`."""
        return self._layout.images()

    def source(self, name: str | None = None, *, index: int | None = None) -> LayoutSource:
        """See :class:`tarkit.transports.base.Reader`."""
        image = self._layout.find(name, index)
        return LayoutSource(self._layout, image.descriptor, image.names[:1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing stays open between calls."""
