"""Paths that an operation reads, reduced to those that must be hashed."""

from __future__ import annotations

from collections.abc import Iterable


def outermost(paths: Iterable[str]) -> list[str]:
    """Return *paths* in order, without duplicates and without paths below another of them."""
    unique = set(paths)
    return sorted((path for path in unique if not _is_covered(path, unique)), key=_bytes)


def _is_covered(path: str, paths: set[str]) -> bool:
    """Return whether a directory above *path*, which may itself end with a slash, is in *paths*."""
    ends = (at for at, character in enumerate(path) if character == "/")
    return any(
        above in paths and above != path for at in ends for above in (path[:at], path[: at + 1])
    )


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
