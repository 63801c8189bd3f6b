"""What images are called at a daemon: a name, in full, or an ID."""

from __future__ import annotations

import re

from tarkit.errors import UsageError
from tarkit.image.reference import Reference

ID_PREFIX = "sha256:"
_ID = re.compile(rf"(?:{ID_PREFIX})?([0-9a-f]{{64}})")


def asked_name(text: str) -> str:
    """The name to ask the daemon for: a reference in full, with a tag or digest, or ``sha256:ID``.

    Raises :class:`UsageError`.
    """
    if match := _ID.fullmatch(text):
        return ID_PREFIX + match[1]
    return str(Reference.parse(text).tagged())


def given_name(text: str) -> str:
    """A name to give to an image; raises :class:`UsageError` for an ID, which nobody can choose."""
    if _ID.fullmatch(text):
        raise UsageError(
            f"{text!r} is an image ID, and an image is written under a name",
            hint="write docker-daemon:NAME:TAG",
        )
    return text
