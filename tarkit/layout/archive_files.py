"""Read the files of a layout in place from a tar archive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest, blob_name
from tarkit.image.document import METADATA_LIMIT
from tarkit.layout.layout import Layout
from tarkit.layout.source import LayoutSource
from tarkit.tar.archive import Archive


class ArchiveFiles:
    """The files of a layout that are members of *archive*, as ``LayoutFiles``."""

    def __init__(self, archive: Archive) -> None:
        self.where = archive.where
        self.archive = archive

    def read(self, name: str) -> bytes | None:
        """Return the metadata file *name*, or None if it is missing.

        Raises :class:`LimitExceededError` if it is too large.
        """
        # find() would need a complete index of a compressed archive.
        if not self.archive.candidates(name):
            return None
        return self.archive.read(name, METADATA_LIMIT)

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of the blob in bytes, or None if it is missing."""
        member = self.archive.find(blob_name(digest))
        return None if member is None else member.size

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open the blob, unverified; raise :class:`BlobNotFoundError` if it is missing."""
        member = self.archive.find(blob_name(digest))
        if member is None:
            raise BlobNotFoundError(f"blob {digest} is missing", where=self.where)
        return self.archive.open_member(member)

    def offset(self, digest: Digest) -> int:
        """Return the offset of the blob's data in the archive, or -1 if the blob is missing."""
        member = self.archive.find(blob_name(digest))
        return -1 if member is None else member.data_offset


class ArchiveSource(LayoutSource):
    """An image of a layout in an archive, with a reading order if the archive is compressed."""

    def __init__(
        self, files: ArchiveFiles, layout: Layout, top: Descriptor, names: tuple[str, ...]
    ) -> None:
        super().__init__(layout, top, names)
        self._files = files

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """Return *blobs* in the order of the archive, or None if it supports random access."""
        if self._files.archive.random_access:
            return None
        return sorted(blobs, key=lambda blob: self._files.offset(blob.digest))
