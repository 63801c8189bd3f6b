"""Split names of layer entries into components, and recognize whiteouts (image-spec layer.md)."""

from __future__ import annotations

from tarkit.errors import LimitExceededError, MalformedError, UnsafePathError
from tarkit.tar.names import shown

WHITEOUT = b".wh."
"""Prefix of a whiteout, which hides the entry named by the rest in the layers below."""

OPAQUE = b".wh..wh..opq"
"""Opaque marker: hides all entries of its directory in the layers below."""

HIDDEN = b".wh..wh."
"""Prefix of names that AUFS reserves for its own metadata."""

MAX_DEPTH = 4096
"""Maximum number of components of a name."""

_SPECIAL = frozenset((b"", b".", b".."))

Parts = list[bytes]
"""A path's components from the root of the image; none is empty, ``.`` or ``..``."""


def split(name: bytes, *, strict: bool = False) -> Parts:
    """Return the components of *name*, resolving ``..`` without leaving the root.

    Raises :class:`LimitExceededError` if there are more than :data:`MAX_DEPTH` components and, if
    *strict*, :class:`UnsafePathError` if the name is absolute or leads out of the root.
    """
    if strict and name.startswith(b"/"):
        raise UnsafePathError("absolute name", where=shown(name))
    parts: Parts = name.rstrip(b"/").split(b"/")
    if not _SPECIAL.isdisjoint(parts):  # rare; normalizing is much slower
        parts = _normalize(parts, name, strict=strict)
    if len(parts) > MAX_DEPTH:
        raise LimitExceededError(
            f"name with {len(parts)} components", limit=MAX_DEPTH, where=shown(name[:80])
        )
    return parts


def _normalize(components: Parts, name: bytes, *, strict: bool) -> Parts:
    parts: Parts = []
    for part in components:
        if part == b"..":
            if strict and not parts:
                raise UnsafePathError("name leads out of the image", where=shown(name))
            del parts[-1:]
        elif part and part != b".":
            parts.append(part)
    return parts


def hidden_name(parts: Parts) -> bytes | None:
    """Return the name hidden by a whiteout.

    Returns :data:`OPAQUE` for an opaque marker and None for other entries.
    Raises :class:`MalformedError` if the hidden name is empty, ``.`` or ``..``.
    """
    if not parts or not parts[-1].startswith(WHITEOUT):
        return None
    if parts[-1] == OPAQUE:
        return OPAQUE
    name = parts[-1][len(WHITEOUT) :]
    if name in (b"", b".", b".."):
        raise MalformedError("whiteout without a name", where=path_of(parts))
    return name


def is_private(parts: Parts) -> bool:
    """Return True if *parts* is AUFS metadata or below it; opaque markers do not count."""
    return any(part.startswith(HIDDEN) for part in parts[:-1]) or (
        parts[-1].startswith(HIDDEN) and parts[-1] != OPAQUE
    )


def require_visible(parts: Parts) -> None:
    """Raise :class:`MalformedError` if any of the directory names *parts* is a whiteout."""
    if any(part.startswith(WHITEOUT) for part in parts):
        raise MalformedError("a whiteout cannot contain entries", where=path_of(parts))


def path_of(parts: Parts) -> str:
    """Return *parts* as a path for use in messages."""
    return "/" + shown(b"/".join(parts))
