"""Verification of content by digest and size, which happens only here."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from tarkit.errors import DigestMismatchError, SizeMismatchError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import check
from tarkit.streams.channel import Channel
from tarkit.streams.chunks import ChunkReader, Readable, drain
from tarkit.streams.threads import start_thread

_DEPTH = 8  # chunks waiting to be hashed


class _ThreadedHash:
    """A hash that is computed on a thread, so that the reader need not wait."""

    def __init__(self, algorithm: str) -> None:
        self._hasher = hashlib.new(algorithm)
        self._chunks: Channel[bytes] = Channel(_DEPTH)
        self._thread = start_thread(self._hash, "hash")

    def _hash(self) -> None:
        while chunk := self._chunks.get():
            self._hasher.update(chunk)

    def update(self, chunk: bytes) -> None:
        """Add *chunk*, which must not be empty."""
        self._chunks.put(chunk)

    def hexdigest(self) -> str:
        """End the input and return the digest of all of it."""
        self.close()
        return self._hasher.hexdigest()

    def close(self) -> None:
        """Wait for the thread to hash the remaining chunks, and end it."""
        if self._thread.is_alive():
            self._chunks.put_last(b"")
            self._thread.join()


class VerifyingReader(ChunkReader):
    """Hashes and counts a stream as it is read, and checks it at the end.

    If the stream is short, long or altered, a read raises :class:`SizeMismatchError` or
    :class:`DigestMismatchError`. Without *digest* or *size*, the reader only computes them.
    :attr:`algorithm` is the algorithm of *digest*, or sha256; :attr:`expected` and
    :attr:`expected_size` are the given values. :attr:`digest` is available only after the checks
    have passed, so content is never stored under a wrong digest. If *threaded* is true, a thread
    hashes, which suits long streams.

    >>> import io
    >>> with tarkit.VerifyingReader(io.BytesIO(b"hi"), size=2) as reader:
    ...     reader.read(), reader.digest.matches(b"hi")
    (b'hi', True)
    """

    def __init__(
        self,
        stream: Readable,
        *,
        digest: Digest | None = None,
        size: int | None = None,
        where: str | None = None,
        threaded: bool = False,
    ) -> None:
        super().__init__(stream)
        self.algorithm = digest.algorithm if digest else "sha256"
        self._hasher = _ThreadedHash(self.algorithm) if threaded else hashlib.new(self.algorithm)
        self.expected = digest
        self.expected_size = size
        self._where = where or (str(digest) if digest else None)
        self._digest: Digest | None = None
        self.size = 0

    @property
    def digest(self) -> Digest:
        """The digest of the whole stream; raises :class:`RuntimeError` before its end."""
        if self._digest is None:
            raise RuntimeError("the digest of a stream is known only at its end")
        return self._digest

    def verify(self) -> None:
        """Read the rest of the stream, so that the checks run."""
        drain(self)

    def _chunk(self) -> bytes:
        if self._digest is not None:
            return b""
        check()
        chunk = self._stream.read(CHUNK_SIZE)
        self.size += len(chunk)
        # Stop at the first byte too many; a hostile stream might never end.
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
        """Close this stream and its input."""
        if isinstance(self._hasher, _ThreadedHash):
            self._hasher.close()
        super().close()

    def _finish(self) -> None:
        actual = Digest(self.algorithm, self._hasher.hexdigest())
        if self.expected is not None and actual != self.expected:
            raise DigestMismatchError(self.expected, actual, where=self._where)
        self._digest = actual


def verified(
    stream: BinaryIO, digest: Digest, size: int | None, *, where: str | None = None
) -> bytes:
    """Return the verified content of the small *stream*, and close it."""
    with VerifyingReader(stream, digest=digest, size=size, where=where) as reader:
        return reader.read()
