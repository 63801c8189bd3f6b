"""The one place where content is checked against its digest and size."""

from __future__ import annotations

import hashlib
from queue import Queue
from typing import BinaryIO

from tarkit.errors import DigestMismatchError, SizeMismatchError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import check
from tarkit.streams.chunks import ChunkReader, Readable, drain
from tarkit.streams.workers import start_thread

_DEPTH = 8  # chunks that wait to be hashed


class _HashAside:
    """A hash that a thread of its own computes: whoever reads has the bytes at once."""

    def __init__(self, algorithm: str) -> None:
        self._hasher = hashlib.new(algorithm)
        self._queue: Queue[bytes] = Queue(_DEPTH)
        self._thread = start_thread(self._hash, "hash")

    def _hash(self) -> None:
        while chunk := self._queue.get():
            self._hasher.update(chunk)

    def update(self, chunk: bytes) -> None:
        """Have *chunk* hashed, which is not empty."""
        self._queue.put(chunk)

    def hexdigest(self) -> str:
        """The digest of everything; there is no more."""
        self.close()
        return self._hasher.hexdigest()

    def close(self) -> None:
        """Let the thread end once it has hashed what it has."""
        if self._thread.is_alive():
            self._queue.put(b"")
            self._thread.join()


class VerifyingReader(ChunkReader):
    """A stream that is hashed and counted as it is read, and checked at its end.

    Short, long and altered streams raise :class:`SizeMismatchError` or
    :class:`DigestMismatchError` from the read that notices. Without *digest* or *size* there is
    nothing to compare, and the reader tells what it saw. :attr:`algorithm` is that of *digest*,
    sha256 by default; :attr:`expected` and :attr:`expected_size` are what there is to compare with.
    :attr:`digest` exists only once the end was reached and the checks passed, so nothing can be
    named by a digest it does not have. *aside* has another thread do the hashing, for a stream that
    is long and whose reader has no time to lose.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        digest: Digest | None = None,
        size: int | None = None,
        where: str | None = None,
        aside: bool = False,
    ) -> None:
        super().__init__(stream)
        self.algorithm = digest.algorithm if digest else "sha256"
        self._hasher = _HashAside(self.algorithm) if aside else hashlib.new(self.algorithm)
        self.expected = digest
        self.expected_size = size
        self._where = where or (str(digest) if digest else None)
        self._digest: Digest | None = None
        self.size = 0

    @property
    def digest(self) -> Digest:
        """The digest of the whole stream; an error in the program before its end."""
        if self._digest is None:
            raise RuntimeError("the digest of a stream is known only at its end")
        return self._digest

    def verify(self) -> None:
        """Read what the consumer left, so that the checks take place."""
        drain(self)

    def _chunk(self) -> bytes:
        if self._digest is not None:
            return b""
        check()
        chunk = self._stream.read(CHUNK_SIZE)
        self.size += len(chunk)
        if self.expected_size is not None and (
            self.size > self.expected_size or (not chunk and self.size < self.expected_size)
        ):
            raise SizeMismatchError(self.expected_size, self.size, where=self._where)
        if chunk:
            self._hasher.update(chunk)
        else:
            self._finish()
        return chunk

    def close(self) -> None:
        """Close this stream and the one it reads from."""
        if isinstance(self._hasher, _HashAside):
            self._hasher.close()
        super().close()

    def _finish(self) -> None:
        actual = Digest(self.algorithm, self._hasher.hexdigest())
        if self.expected is not None and actual != self.expected:
            raise DigestMismatchError(self.expected, actual, where=self._where)
        self._digest = actual


def verified(stream: BinaryIO, digest: Digest, size: int | None) -> bytes:
    """All of *stream*, a small one, checked; closes it."""
    with VerifyingReader(stream, digest=digest, size=size) as reader:
        return reader.read()
