"""The one place where content is checked against its digest and size."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

from tarkit.errors import DigestMismatchError, SizeMismatchError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, Readable


class VerifyingReader(ChunkReader):
    """A stream that is hashed and counted as it is read, and checked at its end.

    Short, long and altered streams raise :class:`SizeMismatchError` or
    :class:`DigestMismatchError` from the read that notices. Without *digest* or *size* there is
    nothing to compare, and the reader tells what it saw. :attr:`algorithm` is that of *digest*,
    sha256 by default; :attr:`expected` and :attr:`expected_size` are what there is to compare with.
    :attr:`digest` exists only once the end was reached and the checks passed, so nothing can be
    named by a digest it does not have.
    """

    def __init__(
        self,
        stream: Readable,
        *,
        digest: Digest | None = None,
        size: int | None = None,
        where: str | None = None,
    ) -> None:
        super().__init__(stream)
        self.algorithm = digest.algorithm if digest else "sha256"
        self._hasher = hashlib.new(self.algorithm)
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
        while self.read(CHUNK_SIZE):
            pass

    def _chunk(self) -> bytes:
        if self._digest is not None:
            return b""
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

    def _finish(self) -> None:
        actual = Digest(self.algorithm, self._hasher.hexdigest())
        if self.expected is not None and actual != self.expected:
            raise DigestMismatchError(self.expected, actual, where=self._where)
        self._digest = actual


def verified(stream: BinaryIO, digest: Digest, size: int | None) -> bytes:
    """All of *stream*, a small one, checked; closes it."""
    with VerifyingReader(stream, digest=digest, size=size) as reader:
        return reader.read()
