"""The names of images in a layout."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.errors import UsageError
from tarkit.image.reference import Reference

REF_NAME = "org.opencontainers.image.ref.name"
"""The name of an image in a layout: any text, often just a tag (image-spec annotations.md)."""

CONTAINERD_NAME = "io.containerd.image.name"
"""The full name of an image, written by containerd and Docker."""


def names_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in the *annotations* of an ``index.json`` entry, the full name first."""
    names = (annotations.get(CONTAINERD_NAME, ""), annotations.get(REF_NAME, ""))
    return tuple(dict.fromkeys(name for name in names if name))


def answers_to(annotations: Mapping[str, str], name: str) -> bool:
    """Return whether *name* is one of the entry's names or denotes the same full reference."""
    names = names_of(annotations)
    if name in names:
        return True
    full = normalized(annotations.get(CONTAINERD_NAME, ""))
    return full is not None and full == normalized(name)


def normalized(name: str) -> str | None:
    """Return *name* as Docker's full reference, or None if it is not a valid name."""
    try:
        return str(Reference.parse(name).tagged())
    except UsageError:
        return None
