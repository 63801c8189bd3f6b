"""Uploads of blobs, staged until their digest is known (distribution-spec, "Pushing blobs")."""

from __future__ import annotations

import hashlib
import io
import os
from collections import OrderedDict
from threading import Lock, RLock

from tarkit.blobs.writing import BlobWriter
from tarkit.errors import DigestMismatchError
from tarkit.image.digest import Digest
from tarkit.serving.problems import Problem
from tarkit.streams.chunks import Readable, chunks_of
from tarkit.streams.closeable import Closeable
from tarkit.streams.os_errors import os_errors
from tarkit.streams.verify import VerifyingReader

_MOST_OPEN = 100  # uploads; each holds a file open


class Upload:
    """The bytes of one blob received so far; ``lock`` must be held to use it.

    Bytes are hashed as they arrive, so a blob with a SHA-256 digest is read only once.
    """

    def __init__(self, blobs: BlobWriter, publishing: Lock) -> None:
        self.id = os.urandom(16).hex()
        self.lock = RLock()
        self.size = 0
        self._blobs = blobs
        self._publishing = publishing
        self._hasher = hashlib.sha256()
        self._pending = blobs.begin()

    def append(self, body: Readable) -> None:
        """Add *body*; if it breaks off, the bytes received before stay."""
        self._require_open()
        for chunk in chunks_of(body):
            with os_errors("upload"):
                self._pending.file.write(chunk)
            self._hasher.update(chunk)
            self.size += len(chunk)

    def finish(self, digest: Digest) -> None:
        """Make the upload a blob; raises :class:`Problem` if it does not have this *digest*."""
        self._require_open()
        try:
            if digest.algorithm == "sha256":
                self._publish(digest)
            else:
                self._copy(digest)
        except DigestMismatchError as error:
            raise Problem("DIGEST_INVALID", error.message) from None

    def _publish(self, digest: Digest) -> None:
        actual = Digest("sha256", self._hasher.hexdigest())
        if actual != digest:
            raise DigestMismatchError(digest, actual)
        with self._publishing:
            if self._blobs.size(digest) is None:  # another client may have sent the same
                self._pending.publish(digest.hex, durable=False)

    def _copy(self, digest: Digest) -> None:
        file = self._pending.file
        file.seek(0)
        with (
            VerifyingReader(
                io.BufferedReader(io.FileIO(os.dup(file.fileno()))), digest=digest
            ) as blob,
            self._publishing,
        ):
            self._blobs.put(blob)

    def _require_open(self) -> None:
        if self._pending.file.closed:  # another request ended it while this one waited
            raise _unknown()

    def discard(self) -> None:
        """Remove the file, unless it has become a blob."""
        self._pending.close()


class Uploads(Closeable):
    """The open uploads, whose complete blobs go to *blobs*; safe to use from several threads.

    If too many are open, the one that was idle for the longest time is discarded. Hold
    ``publishing`` to move or remove blobs, so that no other blob appears meanwhile.
    """

    def __init__(self, blobs: BlobWriter) -> None:
        self._blobs = blobs
        self._lock = RLock()
        self.publishing = Lock()
        self._open: OrderedDict[str, Upload] = OrderedDict()

    def begin(self) -> Upload:
        """Begin an upload."""
        with self._lock:
            if len(self._open) >= _MOST_OPEN:
                self._discard_idle()
            upload = Upload(self._blobs, self.publishing)
            self._open[upload.id] = upload
            return upload

    def find(self, identifier: str) -> Upload:
        """Return the upload with that *identifier*; raises :class:`Problem` if there is none."""
        with self._lock:
            if identifier not in self._open:
                raise _unknown()
            self._open.move_to_end(identifier)
            return self._open[identifier]

    def end(self, upload: Upload) -> None:
        """Forget *upload* and discard its file, unless that has become a blob."""
        with self._lock:
            self._open.pop(upload.id, None)
        upload.discard()

    def _discard_idle(self) -> None:
        for upload in self._open.values():
            if upload.lock.acquire(blocking=False):
                try:
                    self.end(upload)
                finally:
                    upload.lock.release()
                return
        raise Problem("TOOMANYREQUESTS", f"{_MOST_OPEN} uploads are in progress; try again later")

    def close(self) -> None:
        """Discard all open uploads."""
        for upload in tuple(self._open.values()):
            self.end(upload)


def _unknown() -> Problem:
    return Problem("BLOB_UPLOAD_UNKNOWN", "no such upload; begin it again")
