"""Digests, written ``algorithm:hex`` (image-spec descriptor.md, "Digests")."""

from __future__ import annotations

import hashlib
import re
from typing import Self

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.values import dataclass

# The specification's grammar allows more algorithms and encodings than are registered.
_GRAMMAR = re.compile(r"([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)", re.ASCII)
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)
_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A digest of content: a registered ``algorithm`` and its value in lower-case ``hex``.

    >>> str(tarkit.Digest.of(b"hi"))[:19]
    'sha256:8f434346648f'
    """

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str, *, where: str | None = None) -> Self:
        """Parse ``algorithm:hex``.

        Raises :class:`MalformedError` if *text* violates the grammar, and :class:`UnsupportedError`
        if the algorithm is not sha256, sha384 or sha512.
        """
        match = _GRAMMAR.fullmatch(text)
        if match is None:
            raise MalformedError(f"malformed digest {text[:160]!r}", where=where)
        algorithm, value = match.groups()
        if algorithm not in _HEX_LENGTH:
            raise UnsupportedError(f"unknown digest algorithm {algorithm!r}", where=where)
        if len(value) != _HEX_LENGTH[algorithm] or not _HEX.fullmatch(value):
            raise MalformedError(f"malformed {algorithm} digest {text[:160]!r}", where=where)
        return cls(algorithm, value)

    @classmethod
    def from_parts(cls, algorithm: str, hex: str) -> Self | None:
        """Return the digest of the blob path ``algorithm/hex``, or None if it is invalid."""
        # File names in a layout are untrusted, and others than blobs may be present.
        valid = len(hex) == _HEX_LENGTH.get(algorithm) and _HEX.fullmatch(hex)
        return cls(algorithm, hex) if valid else None

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Self:
        """Return the digest of *data*."""
        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def matches(self, data: bytes) -> bool:
        """Return True if *data* has this digest."""
        return hashlib.new(self.algorithm, data).hexdigest() == self.hex

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


def blob_name(digest: Digest) -> str:
    """Return the path of the blob *digest* in an OCI layout (image-layout.md, "Blobs")."""
    return f"blobs/{digest.algorithm}/{digest.hex}"
