"""Names in layers: where they lead, and which of them are whiteouts (image-spec layer.md)."""

from __future__ import annotations

from tarkit.errors import LimitExceededError, MalformedError, UnsafePathError
from tarkit.tar.names import shown

WHITEOUT = b".wh."
"""How a name begins that hides the rest of it in the layers below."""

OPAQUE = b".wh..wh..opq"
"""The name that hides what the layers below have in its directory."""

HIDDEN = b".wh..wh."
"""How the names begin that AUFS kept for itself."""

MAX_DEPTH = 4096
"""Most directories that a name may lead through."""

_SPECIAL = frozenset((b"", b".", b".."))

Parts = list[bytes]
"""A path's components from the root of the image; none is empty, ``.`` or ``..``."""


def split(name: bytes, *, strict: bool = False) -> Parts:
    """The components of *name*, in which ``..`` stops at the root.

    Raises :class:`UnsafePathError` for names that are absolute or leave the root where *strict*,
    and :class:`LimitExceededError` beyond :data:`MAX_DEPTH`.
    """
    if strict and name.startswith(b"/"):
        raise UnsafePathError("an absolute name", where=shown(name))
    parts: Parts = name.rstrip(b"/").split(b"/")
    if not _SPECIAL.isdisjoint(parts):
        parts = _cleaned(parts, name, strict=strict)
    if len(parts) > MAX_DEPTH:
        raise LimitExceededError(
            f"a name of {len(parts)} components", limit=MAX_DEPTH, where=shown(name[:80])
        )
    return parts


def _cleaned(components: Parts, name: bytes, *, strict: bool) -> Parts:
    parts: Parts = []
    for part in components:
        if part == b"..":
            if strict and not parts:
                raise UnsafePathError("a name that leads out of the image", where=shown(name))
            del parts[-1:]
        elif part and part != b".":
            parts.append(part)
    return parts


def hidden_name(parts: Parts) -> bytes | None:
    """The name a whiteout hides, ``OPAQUE`` for an opaque marker, ``None`` for any other entry.

    Raises :class:`MalformedError` for a whiteout of nothing, or of ``.`` and ``..``.
    """
    if not parts or not parts[-1].startswith(WHITEOUT):
        return None
    if parts[-1] == OPAQUE:
        return OPAQUE
    name = parts[-1][len(WHITEOUT) :]
    if name in (b"", b".", b".."):
        raise MalformedError("a whiteout of nothing", where=path_of(parts))
    return name


def is_private(parts: Parts) -> bool:
    """Whether the entry is AUFS's own business, or lies below such a one; an opaque marker is not."""
    return any(part.startswith(HIDDEN) for part in parts[:-1]) or (
        parts[-1].startswith(HIDDEN) and parts[-1] != OPAQUE
    )


def require_visible(parts: Parts) -> None:
    """Raise :class:`MalformedError` where a whiteout's name would have to become a directory."""
    if any(part.startswith(WHITEOUT) for part in parts):
        raise MalformedError("a whiteout with entries in it", where=path_of(parts))


def path_of(parts: Parts) -> str:
    """The path of *parts* for a message."""
    return "/" + shown(b"/".join(parts))
