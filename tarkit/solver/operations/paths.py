"""Paths in file operations: cleaned as text, then resolved inside a root filesystem."""

from __future__ import annotations

import posixpath

from tarkit.errors import RefusedError
from tarkit.llb.paths import clean
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.names import Parts, path_of
from tarkit.rootfs.path_patterns import wildcard
from tarkit.rootfs.trail import Directory


def rooted(path: str) -> str:
    """Return *path* as an absolute path, whose ``..`` never leave the root."""
    if "\0" in path:
        raise RefusedError("a path cannot contain NUL", where=path[:80])
    return clean(f"/{path}")


def parts_of(path: str) -> Parts:
    """Return the components of *path*."""
    return [part for part in _bytes(rooted(path)).split(b"/") if part]


def resolved(files: FileSystem, path: str, *, follow: bool = True) -> Parts:
    """Return the real path of *path*, which may be missing; *follow* concerns its last component."""
    trail = files.tree.trail(parts_of(path), follow=follow)
    return trail.names + trail.missing


def base_name(path: str) -> str:
    """Return the last component of *path*."""
    return posixpath.basename(rooted(path))


def matches(files: FileSystem, pattern: str) -> list[str]:
    """Return the paths that *pattern* matches, in byte order; without wildcards, it is a path.

    A wildcard does not match a slash, links below the part without wildcards are not followed, and
    nothing below a match counts. Raises :class:`~tarkit.errors.MalformedError` if it is invalid.
    """
    plain, wild = _split(rooted(pattern))
    if not wild:
        return [plain or "/"]
    expressions = [wildcard(part) for part in wild]
    trail = files.tree.trail(parts_of(plain), follow=False)
    start = None if trail.missing else trail.directory
    if start is None:
        return []

    found: list[str] = []
    pending = [(start, plain, 0)]
    while pending:
        directory, prefix, level = pending.pop()
        deeper = []
        for name in sorted(directory.entries):
            text = name.decode("utf-8", "surrogateescape")
            if not expressions[level].fullmatch(text):
                continue
            child = directory.entries[name]
            if level == len(expressions) - 1:
                found.append(f"{prefix}/{text}")
            elif isinstance(child, Directory):
                deeper.append((child, f"{prefix}/{text}", level + 1))
        pending += reversed(deeper)
    return found


def _split(pattern: str) -> tuple[str, list[str]]:
    """Return the components before the first with a wildcard as a path, and the others."""
    parts = [part for part in pattern.split("/") if part]
    for at, part in enumerate(parts):
        if any(character in part for character in "*?[\\"):
            return "".join(f"/{each}" for each in parts[:at]), parts[at:]
    return pattern.rstrip("/"), []


def shown(parts: Parts) -> str:
    """Return *parts* for messages."""
    return path_of(parts)


def _bytes(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
