"""Predict from names alone which paths are hidden by the layers above them.

Links can make a prediction wrong, so only the merge decides; see :mod:`tarkit.rootfs.merge`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tarkit.rootfs.names import OPAQUE, WHITEOUT, split
from tarkit.tar.member import Member, MemberType

MAX_PREDICTED = 100
"""Maximum number of slashes in a path to look up: each parent directory costs one lookup."""


class HiddenPaths:
    """The paths that the layers added so far hide in lower layers."""

    def __init__(self) -> None:
        # Each path maps to the highest layer that hides it. _taken: the path itself; _closed: the
        # entries of that directory.
        self._taken: dict[bytes, int] = {}
        self._closed: dict[bytes, int] = {}
        # The result of the last call of _closes: consecutive files share their directory.
        self._directory: bytes | None = None
        self._closed_by = -1

    def add(self, number: int, members: Iterable[Member]) -> None:
        """Add the paths that *members* of layer *number* hide."""
        for member in members:
            parts = split(member.name)
            path = b"/".join(parts)
            if not parts:
                continue
            name = parts[-1]
            if name == OPAQUE:
                self.close(number, b"/".join(parts[:-1]))
            elif name.startswith(WHITEOUT):
                self._block(number, b"/".join([*parts[:-1], name[len(WHITEOUT) :]]))
            elif member.type is MemberType.DIRECTORY:
                _raise(self._taken, path, number)
            else:
                self._block(number, path)

    def close(self, number: int, directory: bytes) -> None:
        """Hide the entries of *directory* in the layers below *number*."""
        _raise(self._closed, directory, number)
        self._directory = None

    def covers(self, number: int, name: bytes) -> bool:
        """Return True if the file *name* of layer *number* is known to be hidden."""
        if not (self._taken or self._closed) or name.count(b"/") > MAX_PREDICTED:
            return False
        path = b"/".join(split(name))
        return self._taken.get(path, -1) > number or self._closes(path.rpartition(b"/")[0]) > number

    def _closes(self, directory: bytes) -> int:
        """Return the highest layer that hides the entries of *directory*, or -1."""
        if directory != self._directory:
            self._directory = directory
            self._closed_by = self._closed.get(b"", -1)
            while directory:
                self._closed_by = max(self._closed_by, self._closed.get(directory, -1))
                directory = directory.rpartition(b"/")[0]
        return self._closed_by

    def _block(self, number: int, path: bytes) -> None:
        _raise(self._taken, path, number)
        self.close(number, path)


def _raise(highest: dict[bytes, int], path: bytes, number: int) -> None:
    """Raise the layer of *path* in *highest* to at least *number*."""
    highest[path] = max(number, highest.get(path, -1))
