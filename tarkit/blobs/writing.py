"""Write blobs, which become visible when complete and verified, and never leave their store."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from threading import Lock

from tarkit.image.digest import Digest
from tarkit.streams.atomic import PendingFile
from tarkit.streams.chunks import chunks_of
from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.verify import VerifyingReader

_BLOBS = "blobs"


class BlobWriter(Closeable):
    """Writes blobs to ``blobs/<algorithm>/<hex>`` in the open directory *root*; close it after use.

    Thread-safe. It never writes through a link out of *root*, or a hostile layout could make a copy
    write elsewhere.
    """

    def __init__(self, root: Directory) -> None:
        self._root = root
        self._stack = ExitStack()
        self._opened: dict[str, Directory] = {}
        self._lock = Lock()

    def require_inside(self) -> None:
        """Raise :class:`UnsafePathError` if a blob directory is a link out of the store."""
        with os_errors(self._root.path):
            blobs = self._find()
            for name in blobs.names() if blobs else ():
                status = blobs.lookup(name) if blobs else None
                # open_inside() resolves the link and raises if it leaves the root.
                if status is not None and stat.S_ISLNK(status.st_mode):
                    self._root.open_inside(f"{_BLOBS}/{name}").close()

    def size(self, digest: Digest) -> int | None:
        """Return the blob's size in bytes, or None if it is missing."""
        with os_errors(self._root.path):
            directory = self._find(digest.algorithm)
            status = directory.lookup(digest.hex) if directory else None
        return None if status is None else status.st_size

    def digests(self) -> list[Digest]:
        """Return the digests of all blobs, in order."""
        with os_errors(self._root.path):
            blobs = self._find()
            names = {name: self._directory(name).names() for name in blobs.names()} if blobs else {}
        pairs = ((algorithm, name) for algorithm, found in names.items() for name in found)
        return sorted(digest for pair in pairs if (digest := Digest.from_parts(*pair)))

    def put(self, blob: VerifyingReader) -> None:
        """Store *blob* under its digest; store nothing if reading it fails.

        The data is synced to disk, but its directory entry is not until :meth:`sync` is called.
        """
        with os_errors(self._root.path):
            directory = self._directory(blob.algorithm)
        with PendingFile(directory) as pending:
            for chunk in chunks_of(blob):
                with os_errors(self._root.path):
                    pending.file.write(chunk)
            # The digest is available only if the blob passed its checks.
            pending.publish(blob.digest.hex, durable=False)

    def begin(self) -> PendingFile:
        """Return a new file; publish it under its SHA-256 in hex to make it a blob.

        For content that arrives in parts. The caller verifies it; :meth:`put` does so itself.
        """
        with os_errors(self._root.path):
            directory = self._directory("sha256")
        return PendingFile(directory, read_back=True)

    def adopt(self, other: BlobWriter, digests: Iterable[Digest] | None = None) -> None:
        """Move *digests*, by default every blob, from *other* to this store; sync.

        *other* must be on the same filesystem.
        """
        for digest in other.digests() if digests is None else digests:
            with os_errors(self._root.path):
                theirs, ours = (each._directory(digest.algorithm) for each in (other, self))
                theirs.move(digest.hex, ours, digest.hex)
        self.sync()

    def remove(self, digest: Digest) -> None:
        """Remove the blob; do nothing if it is missing."""
        with os_errors(self._root.path), suppress(FileNotFoundError):
            self._directory(digest.algorithm).unlink(digest.hex)

    def sync(self) -> None:
        """Sync the directory entries of all stored and adopted blobs to disk."""
        with os_errors(self._root.path):
            for directory in self._opened.values():
                directory.sync()

    def close(self) -> None:
        """Close the directories."""
        self._stack.close()

    def _find(self, algorithm: str = "") -> Directory | None:
        """Return the directory of *algorithm*, or of all blobs; None if it is missing."""
        if self._root.lookup(_BLOBS) is None:
            return None
        blobs = self._directory()
        if algorithm and blobs.lookup(algorithm) is None:
            return None
        return self._directory(algorithm)

    def _directory(self, algorithm: str = "") -> Directory:
        """Return the directory of *algorithm*, or of all blobs; create it if it is missing."""
        with self._lock:
            blobs = self._open(self._root, _BLOBS, _BLOBS)
            return self._open(blobs, algorithm, f"{_BLOBS}/{algorithm}") if algorithm else blobs

    def _open(self, parent: Directory, name: str, path: str) -> Directory:
        if path not in self._opened:
            # An existing directory may be a link that stays inside, as in some layouts.
            exists = parent.lookup(name) is not None
            directory = self._root.open_inside(path) if exists else parent.make(name)
            self._opened[path] = self._stack.enter_context(directory)
        return self._opened[path]
