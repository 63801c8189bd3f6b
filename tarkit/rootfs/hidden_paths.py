"""What layers hide of those below them, as far as names alone tell."""

from __future__ import annotations

from collections.abc import Iterable

from tarkit.rootfs.names import OPAQUE, WHITEOUT, split
from tarkit.tar.member import Member, MemberType

MAX_PREDICTED = 100
"""Most components of a path that is looked up: each directory on the way costs another look."""


class HiddenPaths:
    """What falls on a layer from those above it that were counted in."""

    def __init__(self) -> None:
        self._taken: dict[bytes, int] = {}  # by the highest layer that hides the path itself
        self._closed: dict[bytes, int] = {}  # by the highest one that hides what is in a directory
        self._directory: bytes | None = None  # the last one that was looked at
        self._closed_by = -1

    def add(self, number: int, members: Iterable[Member]) -> None:
        """Count in *members* of layer *number*."""
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
        """Hide what the layers below *number* have in *directory*."""
        _raise(self._closed, directory, number)
        self._directory = None

    def covers(self, number: int, name: bytes) -> bool:
        """Return whether the file *name* of layer *number* is known to be hidden."""
        if not (self._taken or self._closed) or name.count(b"/") > MAX_PREDICTED:
            return False
        path = b"/".join(split(name))
        return self._taken.get(path, -1) > number or self._closes(path.rpartition(b"/")[0]) > number

    def _closes(self, directory: bytes) -> int:
        """The highest layer below which nothing in *directory* is left."""
        if directory != self._directory:  # as it is for one file after the other
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
    """Have *path* stand in *highest* with *number* at least."""
    highest[path] = max(number, highest.get(path, -1))
