"""The content-addressed directory ``blobs/<algorithm>/<hex>`` (image-layout.md, "Blobs")."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError, MalformedError
from tarkit.image.digest import Digest, blob_name
from tarkit.streams.files import open_regular, require_inside
from tarkit.streams.os_errors import from_os_error

_NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class BlobStore:
    """The blobs under *root*, which holds the directory ``blobs``, for reading.

    :class:`tarkit.blobs.writing.BlobWriter` writes them.
    Unless *follow_links*, a blob that is a link out of the store is refused, with *hint*.
    """

    def __init__(self, root: Path, *, follow_links: bool = False, hint: str | None = None) -> None:
        self.root = root
        self._follow_links = follow_links
        self._hint = hint

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be."""
        return self.root / blob_name(digest)

    def size(self, digest: Digest) -> int | None:
        """The blob's size in bytes, or ``None`` where there is no such blob; otherwise as :meth:`open`."""
        status = self._status(digest)
        return None if status is None else status.st_size

    def open(self, digest: Digest) -> BinaryIO:
        """The blob as a raw stream, for the caller to verify.

        Raises :class:`BlobNotFoundError`, :class:`UnsafePathError` for a link out of the store and
        :class:`MalformedError` for anything that is not a file.
        """
        if self._status(digest) is None:
            raise BlobNotFoundError(f"blob {digest} is missing", where=str(self.root))
        return open_regular(self.path(digest))

    def _status(self, digest: Digest) -> os.stat_result | None:
        """What the blob's path leads to: a file inside the store, or ``None`` for nowhere."""
        path = self.path(digest)
        try:
            status = path.stat()
        except OSError as error:
            if error.errno in _NOWHERE:
                return None
            raise from_os_error(error, path) from error
        if not self._follow_links:
            require_inside(path, self.root, hint=self._hint)
        if not stat.S_ISREG(status.st_mode):  # even to open a device may do something
            raise MalformedError("a blob that is not a regular file", where=str(path))
        return status

    def digests(self) -> Iterator[Digest]:
        """Every blob there is, in order; names that are no digests are passed over."""
        blobs = self.root / "blobs"
        if not blobs.is_dir():
            return
        for path in sorted(blobs.glob("*/*")):
            digest = Digest.from_parts(path.parent.name, path.name)
            if digest:
                yield digest
