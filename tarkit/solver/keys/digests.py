"""The three hashes of cache keys."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

RANDOM = "random:"
"""The beginning of digests that are true for one session only: they are never stored or matched."""


def text_digest(text: str) -> str:
    """Return ``sha256:`` and the digest of *text*."""
    return "sha256:" + sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def joined_digest(parts: Iterable[str]) -> str:
    """Return the digest of *parts*, separated by null characters."""
    return text_digest("\0".join(parts))


def source_digest(key: str) -> str:
    """Return the digest of the operation of a source that identifies its content by *key*."""
    digest = text_digest(f"buildkit.source.v0:{key}")
    return RANDOM + digest.removeprefix("sha256:") if key.startswith("session:") else digest


def record_digest(operation: str, output: int) -> str:
    """Return the digest of an output of an operation, which cache configs contain.

    *operation* is the digest of the operation.
    """
    digest = text_digest(f"{operation}@{output}")
    return RANDOM + digest.removeprefix("sha256:") if operation.startswith(RANDOM) else digest


def content_record(content: str) -> str:
    """Return the record digest that stands for an input with the digest *content* of its files."""
    return record_digest(content, -1)
