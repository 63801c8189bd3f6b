"""Read the content-addressed directory ``blobs/<algorithm>/<hex>`` (image-layout.md, "Blobs")."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError
from tarkit.image.digest import Digest, blob_name
from tarkit.streams.files import find_regular, open_regular


class BlobStore:
    """Reads the blobs in ``root/blobs``; use :class:`tarkit.blobs.writing.BlobWriter` to write.

    Unless *follow_links* is true, access to a blob through a link out of the store raises
    :class:`UnsafePathError` with *hint*.
    """

    def __init__(self, root: Path, *, follow_links: bool = False, hint: str | None = None) -> None:
        self.root = root
        self._follow_links = follow_links
        self._hint = hint

    def path(self, digest: Digest) -> Path:
        """Return the path of the blob, which need not exist."""
        return self.root / blob_name(digest)

    def size(self, digest: Digest) -> int | None:
        """Return the blob's size in bytes, or None if it is missing.

        Raises the errors of :meth:`open` if the blob exists but cannot be opened.
        """
        status = self._status(digest)
        return None if status is None else status.st_size

    def open(self, digest: Digest) -> BinaryIO:
        """Open the blob; the caller must verify it.

        Raises :class:`BlobNotFoundError` if it is missing, :class:`UnsafePathError` if it is a link
        out of the store, and :class:`MalformedError` if it is not a regular file.
        """
        if self._status(digest) is None:
            raise BlobNotFoundError(f"blob {digest} is missing", where=str(self.root))
        return open_regular(self.path(digest))

    def _status(self, digest: Digest) -> os.stat_result | None:
        """Check that the blob is safe to open and return its status, or None if it is missing."""
        return find_regular(
            self.path(digest), self.root, follow_links=self._follow_links, hint=self._hint
        )

    def digests(self) -> Iterator[Digest]:
        """Yield the digests of all blobs in order; skip files not named after a digest."""
        blobs = self.root / "blobs"
        if not blobs.is_dir():
            return
        for path in sorted(blobs.glob("*/*")):
            digest = Digest.from_parts(path.parent.name, path.name)
            if digest:
                yield digest
