"""What an image in a layout is called."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.errors import UsageError
from tarkit.image.reference import Reference

REF_NAME = "org.opencontainers.image.ref.name"
"""The name of an image in a layout: any text, often a tag only (image-spec annotations.md)."""

CONTAINERD_NAME = "io.containerd.image.name"
"""The full name, where containerd or Docker wrote the layout."""


def names_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The names an entry of ``index.json`` goes by, the fullest first."""
    names = (annotations.get(CONTAINERD_NAME, ""), annotations.get(REF_NAME, ""))
    return tuple(dict.fromkeys(name for name in names if name))


def answers_to(annotations: Mapping[str, str], name: str) -> bool:
    """Whether an entry is meant by *name*: exactly, or by its full name however that is written."""
    names = names_of(annotations)
    if name in names:
        return True
    full = normalized(annotations.get(CONTAINERD_NAME, ""))
    return full is not None and full == normalized(name)


def normalized(name: str) -> str | None:
    """*name* in full as Docker reads it, or ``None`` where it is not an image's name."""
    try:
        return str(Reference.parse(name).tagged())
    except UsageError:
        return None
