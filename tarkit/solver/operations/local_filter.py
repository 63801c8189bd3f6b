"""The entries of a local directory that a build asks for: patterns, and paths whose links count."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence

from tarkit.errors import UnsafePathError
from tarkit.rootfs.path_patterns import PathPatterns, wildcard
from tarkit.streams.directory import Directory

_MOST_LINKS = 255
_WILD = frozenset("*?[\\")


class LocalFilter:
    """Selects paths: those that *include* matches, all if it is empty, without those of *exclude*.

    Patterns are as in ``.dockerignore``. Raises :class:`~tarkit.errors.MalformedError` for invalid ones.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = PathPatterns(include) if include else None
        self._exclude = PathPatterns(exclude)
        self._takes_back = any(pattern.strip().startswith("!") for pattern in exclude)
        self._prefixes = [_components(pattern) for pattern in include]

    def selects(self, path: str) -> bool:
        """Return whether *path* is wanted."""
        if self._include is not None and not self._include.match(path):
            return False
        return not self._exclude.match(path)

    def may_contain(self, path: str) -> bool:
        """Return whether a wanted path may be below the directory *path*."""
        if not self._takes_back and self._exclude.match(path):
            return False
        if self._include is None:
            return True
        parts = path.split("/")
        return any(_may_lead(parts, prefix) for prefix in self._prefixes)


def _components(pattern: str) -> list[str]:
    return posixpath.normpath(pattern.strip().removeprefix("!")).strip("/").split("/")


def _may_lead(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a path below *parts* may match *pattern*."""
    for part, wanted in zip(parts, pattern, strict=False):
        if "**" in wanted:
            return True
        if part != wanted and not (_WILD & set(wanted) and wildcard(wanted).fullmatch(part)):
            return False
    return True


def followed(top: Directory, paths: Sequence[str]) -> list[str]:
    """Return *paths* with all links on the way, and their targets, relative to *top*.

    Links lead to places below *top*, as in a container. An empty list means everything.
    Raises :class:`~tarkit.errors.UnsafePathError` if there are too many links.
    """
    found: dict[str, None] = {}
    pending = [path.strip("/") for path in reversed(paths)]
    count = 0
    while pending:
        done, parts = (
            "",
            [part for part in posixpath.normpath(f"/{pending.pop()}").split("/") if part],
        )
        if not parts:
            return []
        while parts:
            done = posixpath.join(done, parts.pop(0))
            targets = list(_targets(top, done))
            if targets:
                count += 1
                if count > _MOST_LINKS:
                    raise UnsafePathError("too many links to follow", where=str(top.path / done))
                pending += [posixpath.join(target, *parts) for target in reversed(targets)]
                break
        found.setdefault(done)
    return list(found)


def _targets(top: Directory, path: str) -> Iterator[str]:
    """Yield the targets of the links that *path* names, whose last component may have wildcards."""
    parent, name = posixpath.split(path)
    names = [name]
    if _WILD & set(name):
        expression = wildcard(name)
        names = [each for each in _names(top, parent) if expression.fullmatch(each)]
    for each in names:
        try:
            target = os.readlink(top.at(posixpath.join(parent, each)), dir_fd=top.descriptor)
        except OSError:
            continue  # not a link, or nothing
        yield target if target.startswith("/") else posixpath.join("/", parent, target)


def _names(top: Directory, path: str) -> list[str]:
    try:
        return sorted(each.name for each in (top.reference / path).iterdir())
    except OSError:
        return []
