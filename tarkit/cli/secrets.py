"""Secrets and SSH agents for builds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tarkit.errors import PathNotFoundError, UsageError
from tarkit.streams.files import read_file

_LIMIT = 500 << 10  # bytes, as in BuildKit
_FORM = "id=ID,src=FILE or id=ID,env=NAME"


def parse_secrets(texts: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of secrets by name.

    Without a file or variable, a secret is in the variable of its name, or else in the file.
    Raises UsageError for other texts, and PathNotFoundError for missing files and variables.
    """
    return dict(map(_secret, texts))


def _secret(text: str) -> tuple[str, bytes]:
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    name = fields.pop("id", "")
    kind = fields.pop("type", "file" if "src" in fields or "source" in fields else "env")
    place = [fields.pop(key) for key in ("src", "source", "env") if key in fields]
    is_complete = kind == "env" or place[:1] > [""]
    if not name or fields or len(place) > 1 or kind not in ("file", "env") or not is_complete:
        raise UsageError("--secret: invalid value", hint=f"use {_FORM}")
    if kind == "env":
        return name, _variable(place[0] if place else name, name, is_named=bool(place))
    return name, read_file(Path(place[0]), _LIMIT)


def _variable(variable: str, name: str, *, is_named: bool) -> bytes:
    if variable in os.environ:
        return os.fsencode(os.environ[variable])
    if not is_named and Path(name).is_file():
        return read_file(Path(name), _LIMIT)
    raise PathNotFoundError(f"secret {name[:80]!r}: no variable {variable[:80]!r}")


def parse_agents(texts: Sequence[str]) -> dict[str, Path]:
    """Return the sockets of SSH agents by name.

    Raises UsageError if no socket is given and ``SSH_AUTH_SOCK`` is not set.
    """
    found = {}
    for text in texts:
        name, _, socket = text.partition("=")
        socket = socket or os.environ.get("SSH_AUTH_SOCK", "")
        if not socket:
            raise UsageError(f"--ssh {name[:80]}: no socket given, and SSH_AUTH_SOCK is not set")
        found[name or "default"] = Path(socket)
    return found
