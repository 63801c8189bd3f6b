"""The names of images at a daemon: a full reference, or an ID."""

from __future__ import annotations

import re

from tarkit.errors import UsageError
from tarkit.image.reference import Reference

ID_PREFIX = "sha256:"
_ID = re.compile(rf"(?:{ID_PREFIX})?([0-9a-f]{{64}})")


def lookup_name(text: str) -> str:
    """Return *text* in the form for the daemon: a full reference or ``sha256:ID``.

    Raises :class:`UsageError` if *text* is neither a name nor an ID.
    """
    if match := _ID.fullmatch(text):
        return ID_PREFIX + match[1]
    return str(Reference.parse(text).tagged())


def require_name(text: str) -> str:
    """Return *text*; raise :class:`UsageError` for an ID, which cannot be given to an image."""
    if _ID.fullmatch(text):
        raise UsageError(
            f"cannot write an image under the ID {text!r}",
            hint="write docker-daemon:NAME:TAG",
        )
    return text


def tag_name(text: str) -> Reference:
    """Return *text* as a full reference with a tag; raises :class:`UsageError` for a digest or an ID."""
    reference = Reference.parse(require_name(text))
    if reference.digest:
        raise UsageError(f"{text!r} has a digest, but the daemon names images by tag only")
    return reference.tagged()
