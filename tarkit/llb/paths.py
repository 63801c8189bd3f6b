"""Paths as Go's package ``path`` treats them; on Windows, also with drives and backslashes."""

from __future__ import annotations

import posixpath

from tarkit.errors import UsageError


def clean(path: str) -> str:
    """Return the shortest equivalent of *path*."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned  # POSIX keeps two slashes


def join(*parts: str) -> str:
    """Join *parts*, the empty ones left out; a part that begins with "/" does not start anew."""
    given = [part for part in parts if part]
    return clean("/".join(given)) if given else ""


def rooted(parent: str, path: str) -> str:
    """Return *path* cleaned, below *parent* if it is relative; it cannot leave the root."""
    cleaned = clean(path)
    return cleaned if cleaned.startswith("/") else join("/", parent, cleaned)


def rooted_target(parent: str, path: str) -> str:
    """Return :func:`rooted`, but keep an ending "/" or "/.", which tells copies about directories."""
    result = rooted(parent, path)
    if path.endswith("/") and not result.endswith("/"):
        return result + "/"
    if path.endswith("/."):
        return "/." if result == "/" else result + "/."
    return result


def directory(steps: tuple[str, ...], system: str) -> str:
    """Return the working directory after *steps*: absolute paths replace, relative paths extend."""
    current = ""
    for step in steps:
        bare = _without_drive(step, system)
        current = step if bare.startswith("/") else join("/", _without_drive(current, system), bare)
    return current


def _without_drive(path: str, system: str) -> str:
    if system != "windows":
        return path
    if path[1:2] == ":":
        if path[0].lower() != "c":
            raise UsageError(f"working directory {path!r} is not on the system drive C:")
        path = path[2:]
    return path.replace("\\", "/")
