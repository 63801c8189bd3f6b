"""Read a ``dir:`` image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Self

from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    ImageNotFoundError,
    MalformedError,
    PathNotFoundError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import RawManifest
from tarkit.protocols import ImageEntry
from tarkit.streams.closeable import Closeable
from tarkit.streams.files import FOLLOW_LINKS_HINT, find_regular, open_regular, read_file
from tarkit.transports.directory.files import MANIFEST_FILE, blob_name, manifest_name


class DirectoryReader(Closeable):
    """A directory that contains a single unnamed image.

    It needs no :class:`~tarkit.selection.catalog.Catalog`: ``dir:`` locations cannot select an
    image, so errors must not suggest names or positions.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     _ = image.copy_to("dir:directory")
    >>> with tarkit.DirectoryReader.open("directory") as reader:
    ...     len(reader.images())
    1
    """

    def __init__(self, path: Path, *, follow_links: bool = False) -> None:
        self.where = str(path)
        self._path = path
        self._follow_links = follow_links

    @classmethod
    def open(cls, path: str | Path, *, follow_links: bool = False) -> Self:
        """Open the image at *path*.

        If *follow_links* is true, files may be links to outside the directory. Raises
        :class:`PathNotFoundError` if *path* is not a directory, and :class:`MalformedError` if it
        is not a ``dir:`` image.
        """
        path = Path(path)
        if not path.is_dir():
            reason = "not a directory" if path.exists() else "no such directory"
            raise PathNotFoundError(reason, where=str(path))
        if not (path / MANIFEST_FILE).exists():
            raise MalformedError("not a dir: image: manifest.json is missing", where=str(path))
        return cls(path, follow_links=follow_links)

    def images(self) -> Sequence[ImageEntry]:
        """Return the only image, which has no name."""
        return (ImageEntry(0, ()),)

    def source(self, name: str | None = None, *, index: int | None = None) -> DirectorySource:
        """Return the only image; raise :class:`ImageNotFoundError` if another is requested."""
        if name is not None or index:
            raise ImageNotFoundError(
                "the directory holds one unnamed image", where=self.where, hint="omit the name"
            )
        return DirectorySource(self._path, follow_links=self._follow_links)

    def close(self) -> None:
        """Do nothing, because no file stays open between calls."""


class DirectorySource:
    """The image of a ``dir:`` directory, as a :class:`tarkit.protocols.Source`."""

    names: tuple[str, ...] = ()

    def __init__(self, path: Path, *, follow_links: bool = False) -> None:
        self.where = str(path)
        self._path = path
        self._follow_links = follow_links

    @cached_property
    def _top(self) -> RawManifest:
        path = self._path / MANIFEST_FILE
        self._has(path)
        return RawManifest.of(read_file(path, METADATA_LIMIT), where=str(path))

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the top manifest, or the manifest with *digest*, verified by its digest.

        Raises :class:`BlobNotFoundError` if it is missing.
        """
        if digest is None or digest == self._top.digest:
            return self._top
        path = self._path / manifest_name(digest)
        if not self._has(path):
            raise BlobNotFoundError(f"manifest {digest} is missing", where=self.where)
        # The format stores no digest of manifest.json, but other manifests are named by theirs.
        raw = RawManifest.of(read_file(path, METADATA_LIMIT), where=str(path))
        if not digest.matches(raw.data):
            raise DigestMismatchError(digest, raw.digest, where=str(path))
        return raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the blob, unverified; raise :class:`BlobNotFoundError` if it is missing."""
        path = self._path / blob_name(descriptor.digest)
        if not self._has(path):
            raise BlobNotFoundError(f"blob {descriptor.digest} is missing", where=self.where)
        return open_regular(path)

    def _has(self, path: Path) -> bool:
        """Return True if the file exists; raise the errors of :func:`find_regular`."""
        hint, follow = FOLLOW_LINKS_HINT, self._follow_links
        return find_regular(path, self._path, follow_links=follow, hint=hint) is not None

    def holds(self, descriptor: Descriptor) -> bool:
        """Return True if the manifest or blob is present."""
        names = (manifest_name(descriptor.digest), blob_name(descriptor.digest))
        return any(self._has(self._path / name) for name in names)
