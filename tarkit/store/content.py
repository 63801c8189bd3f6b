"""The blobs of a store, by digest.

``content/`` holds every blob. ``blobs/`` holds those of named images too, as hard links to the same
files, so that other tools read the directory as an OCI layout and may collect its garbage without
loss. A blob that another tool wrote into ``blobs/`` counts as well.
"""

from __future__ import annotations

import math
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tarkit.blobs.store import BlobStore
from tarkit.errors import BlobNotFoundError, UnsafePathError, VerificationError
from tarkit.image.digest import Digest, blob_name
from tarkit.store.database import Database
from tarkit.store.ingest import Ingest
from tarkit.store.links import last_use, move_aside, replace_by_link, touch
from tarkit.streams.atomic import PendingFile
from tarkit.streams.chunks import chunks_of
from tarkit.streams.directory import Directory
from tarkit.streams.files import open_regular
from tarkit.streams.os_errors import os_errors
from tarkit.streams.verify import VerifyingReader
from tarkit.values import dataclass

DIRECTORY = "content"

Fetch = Callable[[int], BinaryIO]
"""Opens a blob at a byte offset, for example by a request with a range."""

_ARRIVING: Counter[Path] = Counter()  # in all open stores of this process
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob: its digest, its size in bytes, and its last use in seconds since the epoch."""

    digest: Digest
    size: int
    used: float


class Content:
    """The blobs below *root*. Files are the truth; *database* has labels, diff IDs and last uses.

    *keep* keeps an item while the store is open.
    """

    def __init__(self, root: Path, database: Database, keep: Callable[[str], object]) -> None:
        self.root = root
        self._database = database
        self._keep = keep
        self._public = BlobStore(root)

    def path(self, digest: Digest) -> Path:
        """Return the path of a blob, which need not exist."""
        return self.root / DIRECTORY / digest.algorithm / digest.hex

    def file(self, digest: Digest) -> Path:
        """Return the path of a blob that exists; raises :class:`BlobNotFoundError`."""
        for path in (self.path(digest), self._public.path(digest)):
            if path.is_file():
                return path
        raise BlobNotFoundError(f"blob {digest} is missing", where=str(self.root))

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob in bytes, or None if it is missing."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return self._public.size(digest)

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob at its start, unverified; raises :class:`BlobNotFoundError`.

        It stays readable even if it is removed meanwhile.
        """
        path = self.path(digest)
        return open_regular(path) if path.is_file() else self._public.open(digest)

    def reader(self, digest: Digest) -> VerifyingReader:
        """Open a blob; the read that reaches its end verifies it.

        Raises the errors of :meth:`open`. If that read raises :class:`VerificationError`, call
        :meth:`quarantine`.
        """
        where = f"{self.root}: blob {digest}"
        return VerifyingReader(self.open(digest), digest=digest, where=where)

    def hold(self, digest: Digest) -> int | None:
        """Keep a blob while this store is open; return its size, or None if it is missing."""
        if self.size(digest) is None:
            return None
        self.touch(digest)
        self._keep(str(digest))
        return self.size(digest)  # again, because it may have been removed before it was kept

    def ingest(
        self, digest: Digest, size: int | None = None, *, patience: float = math.inf
    ) -> Ingest:
        """Open the ingest of a blob, a context manager that continues an interrupted one.

        The blob is kept while this store is open, then as long as a name, record or lease needs it.
        Waits if another process is writing the same blob; raises :class:`LockedError` after
        *patience* seconds.
        """
        self._keep(str(digest))
        return Ingest(self.root, self.path(digest), digest, size, self._added, patience)

    def fetch(self, digest: Digest, size: int | None, fetch: Fetch) -> None:
        """Store a blob unless it is present; *fetch* opens it at the first missing byte.

        Raises :class:`VerificationError` if the bytes do not have that digest, and keeps nothing
        then.
        """
        if self.hold(digest) is None:
            with self.ingest(digest, size) as ingest:
                if not ingest.exists:
                    ingest.write(fetch(ingest.offset))
                    ingest.commit()

    def add(self, data: bytes) -> Digest:
        """Store *data* and return its digest."""
        digest = Digest.of(data)
        if self.hold(digest) is None:
            with self.ingest(digest, len(data)) as ingest:
                if not ingest.exists:
                    ingest.restart()
                    ingest.append(data)
                    ingest.commit()
        return digest

    def add_stream(self, blob: VerifyingReader) -> Digest:
        """Store *blob*, whose digest is known only at its end, and return its digest."""
        directory = self.root / DIRECTORY / blob.algorithm
        with os_errors(directory):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            opened = Directory.open(directory)
        with opened, PendingFile(opened) as pending:
            for chunk in chunks_of(blob):
                with os_errors(directory):
                    pending.file.write(chunk)
            self._keep(str(blob.digest))
            pending.publish(blob.digest.hex)
        self._added(blob.digest, blob.size)
        return blob.digest

    @contextmanager
    def arriving(self, digest: Digest) -> Iterator[None]:
        """Register, during the block, that a stream of this process stores a blob as it is read."""
        path = self.path(digest).absolute()
        with _LOCK:
            _ARRIVING[path] += 1
        try:
            yield
        finally:
            with _LOCK:
                _ARRIVING[path] -= 1

    def is_arriving(self, digest: Digest) -> bool:
        """Return True if a stream of this process stores the blob: then just read that stream."""
        return _ARRIVING[self.path(digest).absolute()] > 0

    def adopt(self, digest: Digest) -> None:
        """Make sure that a blob is in ``content/`` and in the database, for ``repair``."""
        path = self.path(digest)
        if not path.is_file():
            with os_errors(path):
                path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                replace_by_link(self._public.path(digest), path)
        if not self._database.rows("SELECT 1 FROM blobs WHERE digest = ?", str(digest)):
            self._added(digest, path.stat().st_size)

    def walk(self) -> Iterator[Digest]:
        """Yield the digests of all blobs, in order."""
        found = {*BlobStore(self.root).digests(), *self._own()}
        yield from sorted(found)

    def blobs(self) -> list[Blob]:
        """Return all blobs with sizes and last uses, in the order of their digests."""
        return [
            Blob(digest, size, last_use(self.file(digest)) or 0.0)
            for digest in self.walk()
            if (size := self.size(digest)) is not None
        ]

    def touch(self, digest: Digest) -> None:
        """Set the last use of a blob to now."""
        touch(self.path(digest))

    def labels(self, digest: Digest) -> dict[str, str]:
        """Return the labels of a blob."""
        return dict(
            self._database.rows(
                "SELECT key, value FROM labels WHERE digest = ? ORDER BY key", str(digest)
            )
        )

    def set_label(self, digest: Digest, key: str, value: str | None) -> None:
        """Set a label of a blob, or remove it if *value* is None.

        Raises :class:`BlobNotFoundError` if the blob is missing.
        """
        if self.size(digest) is None:
            raise BlobNotFoundError(f"blob {digest} is missing", where=str(self.root))
        with self._database.write() as connection:
            row = (str(digest), key)
            connection.execute("DELETE FROM labels WHERE digest = ? AND key = ?", row)
            if value is not None:
                connection.execute("INSERT INTO labels VALUES (?, ?, ?)", (*row, value))

    def diff_id(self, digest: Digest) -> Digest | None:
        """Return the verified diff ID of a blob, or None if it is unknown."""
        found = self._database.rows("SELECT diff_id FROM plain WHERE digest = ?", str(digest))
        return Digest.parse(found[0][0]) if found else None

    def set_diff_id(self, digest: Digest, diff_id: Digest) -> None:
        """Record that the blob *digest*, uncompressed, has the digest *diff_id*; verify it first."""
        with self._database.write() as connection:
            row = (str(digest), str(diff_id))
            connection.execute("INSERT OR REPLACE INTO plain VALUES (?, ?)", row)

    def with_diff_id(self, diff_id: Digest) -> list[Digest]:
        """Return the blobs whose uncompressed form has the digest *diff_id*, and that exist."""
        found = self._database.rows(
            "SELECT digest FROM plain WHERE diff_id = ? ORDER BY digest", str(diff_id)
        )
        digests = [Digest.parse(text) for (text,) in found]
        return [digest for digest in digests if self.size(digest) is not None]

    def remove(self, digest: Digest) -> None:
        """Remove a blob, its labels and its public link; do nothing if it is missing."""
        with self._database.write() as connection:
            for table in ("blobs", "labels", "plain"):
                connection.execute(f"DELETE FROM {table} WHERE digest = ?", (str(digest),))
            # inside the transaction: no process can hold the blob before the file is gone
            for path in (self.path(digest), self.root / blob_name(digest)):
                with os_errors(path):
                    path.unlink(missing_ok=True)

    def forget_missing(self) -> None:
        """Remove the rows of blobs whose files are missing.

        A process that is killed while it removes blobs leaves such rows.
        """
        for (text,) in self._database.rows("SELECT digest FROM blobs"):
            digest = Digest.parse(text)
            if self.size(digest) is None:
                self.remove(digest)

    def quarantine(self, digest: Digest) -> Path | None:
        """Move a corrupt blob out of the way, to be fetched again; return its new path.

        Return None if the blob is missing or intact.
        """
        try:
            with self.reader(digest) as reader:
                reader.verify()
        except BlobNotFoundError:
            return None
        except (VerificationError, UnsafePathError):
            return self._move_aside(digest)
        return None

    def _move_aside(self, digest: Digest) -> Path:
        """Move the blob, or anything else with its name, out of both directories."""
        moved = [
            move_aside(self.root, path)
            for path in (self.root / blob_name(digest), self.path(digest))
            if os.path.lexists(path)
        ]
        self.remove(digest)
        return moved[-1]

    def _own(self) -> Iterator[Digest]:
        for path in (self.root / DIRECTORY).glob("*/*"):
            digest = Digest.from_parts(path.parent.name, path.name)
            if digest:
                yield digest

    def _added(self, digest: Digest, size: int) -> None:
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (str(digest), size))
