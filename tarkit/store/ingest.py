"""Ingests: incomplete blobs of a store, which can be continued after an interruption.

The data is in ``ingest/ALGORITHM-HEX``, locked while a process writes it. It is hashed again from
the start before the rest is appended, so a damaged remainder is never completed unnoticed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import DigestMismatchError, NoSpaceError, SizeMismatchError
from tarkit.image.digest import Digest
from tarkit.streams.atomic import FILE_MODE
from tarkit.streams.chunks import Readable, chunks_of, write_all
from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_file, still_names
from tarkit.streams.os_errors import os_errors

DIRECTORY = "ingest"


class Ingest(Closeable):
    """The incomplete blob *digest* of *size* bytes, for *target*; made by ``Content.ingest``.

    ``offset`` is the number of bytes that are already in the file ``path``, and ``exists`` is true
    if the blob was already complete. Closing it keeps the bytes for the next attempt.
    """

    def __init__(
        self,
        root: Path,
        target: Path,
        digest: Digest,
        size: int | None,
        on_commit: Callable[[Digest, int], object],
        patience: float,
    ) -> None:
        self.digest = digest
        self._size = size
        self._target = target
        self._on_commit = on_commit
        self.path = root / DIRECTORY / f"{digest.algorithm}-{digest.hex}"
        self._hasher = hashlib.new(digest.algorithm)
        self.offset = 0
        with os_errors(self.path):
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file: BinaryIO = locked_file(self.path, patience)
            try:
                self.exists = target.is_file()
                if not self.exists:
                    self._resume()
            except BaseException:
                self._file.close()
                raise

    def _resume(self) -> None:
        for chunk in chunks_of(self._file):
            self._hasher.update(chunk)
            self.offset += len(chunk)
        if self._size is not None and self.offset > self._size:
            self.restart()

    def restart(self) -> None:
        """Drop the existing bytes, for a source that cannot continue."""
        with os_errors(self.path):
            self._file.seek(0)
            self._file.truncate()
        self._hasher = hashlib.new(self.digest.algorithm)
        self.offset = 0

    def append(self, data: bytes) -> None:
        """Append *data*.

        Raises :class:`SizeMismatchError` if the blob becomes too large, and :class:`NoSpaceError`;
        both drop the bytes.
        """
        if self._size is not None and self.offset + len(data) > self._size:
            self._discard()
            raise SizeMismatchError(self._size, self.offset + len(data), where=str(self.digest))
        try:
            with os_errors(self.path):
                write_all(self._file, data)
        except NoSpaceError:
            self._discard()  # a full disk needs the space for something else
            raise
        self._hasher.update(data)
        self.offset += len(data)

    def write(self, stream: Readable) -> None:
        """Append all of *stream*, and close it if it can be closed."""
        try:
            for chunk in chunks_of(stream):
                self.append(chunk)
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()

    def commit(self) -> None:
        """Make the blob visible; if it is corrupt, drop it and raise :class:`VerificationError`."""
        if self._size is not None and self.offset != self._size:
            raise SizeMismatchError(self._size, self.offset, where=str(self.digest))
        actual = Digest(self.digest.algorithm, self._hasher.hexdigest())
        if actual != self.digest:
            self._discard()
            raise DigestMismatchError(self.digest, actual, where=str(self.digest))
        with os_errors(self._target):
            if hasattr(os, "fchmod"):
                os.fchmod(self._file.fileno(), FILE_MODE)
            os.fsync(self._file.fileno())
            self._target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.path.replace(self._target)
            with Directory.open(self._target.parent) as directory:
                directory.sync()
        self.exists = True
        self._on_commit(self.digest, self.offset)

    def _discard(self) -> None:
        self.restart()
        with os_errors(self.path):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """End the attempt; the bytes stay unless the blob is complete."""
        if not self._file.closed:
            with os_errors(self.path):
                if (self.exists or not self.offset) and still_names(self.path, self._file):
                    self.path.unlink()
                self._file.close()
