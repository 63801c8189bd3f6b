"""The names of images in a layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tarkit.errors import UsageError
from tarkit.image.reference import Reference, is_tag

REF_NAME = "org.opencontainers.image.ref.name"
"""The name of an image in a layout, often just a tag (image-spec annotations.md)."""

CONTAINERD_NAME = "io.containerd.image.name"
"""The full name of an image, written by containerd and Docker."""


_COMPONENT = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_LONGEST = 255  # characters, unless the name is a reference


def is_name(text: str) -> bool:
    """Return True if *text* is a valid name: in the grammar of the image-spec, a reference or a tag.

    Common tools write references and tags, some of which the grammar excludes, such as
    ``a__b`` or ``1.0-``. The text of existing layouts can be anything.
    """
    if len(text) <= _LONGEST and _NAME.fullmatch(text):
        return True
    return is_tag(text) or normalized(text) is not None


def require_names(names: Iterable[str]) -> None:
    """Raise :class:`~tarkit.errors.UsageError` for the first of *names* that is not valid."""
    for name in names:
        if not is_name(name):
            raise UsageError(
                f"invalid image name {name[:300]!r}",
                hint="use a tag such as 1.0, or a name such as app:1.0 or registry.example/app:1.0",
            )


def names_of(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names in the *annotations* of an ``index.json`` entry, the full name first."""
    names = (annotations.get(CONTAINERD_NAME, ""), annotations.get(REF_NAME, ""))
    return tuple(dict.fromkeys(name for name in names if name))


def answers_to(annotations: Mapping[str, str], name: str) -> bool:
    """Return True if *name* is one of the entry's names or denotes the same full reference."""
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
