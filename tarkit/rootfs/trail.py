"""Directories as maps of names to rows, and the steps of resolving a path through them."""

from __future__ import annotations

from typing import Self

from tarkit.rootfs.names import Parts
from tarkit.values import dataclass


class Directory:
    """The *entries* of a directory and the *row* of its metadata; see :mod:`tarkit.rootfs.table`.

    A value is a directory itself, or the row of anything else. Only a tree whose token is *owner*
    may change the object; other trees change a copy.
    """

    __slots__ = ("entries", "owner", "row")

    def __init__(self, row: int, owner: object, entries: dict[bytes, Value] | None = None) -> None:
        self.row = row
        self.owner = owner
        self.entries: dict[bytes, Value] = {} if entries is None else entries

    def copy(self, owner: object) -> Directory:
        """Return a copy for *owner*."""
        return Directory(self.row, owner, self.entries.copy())


Value = int | Directory
"""An entry of a directory."""


@dataclass(slots=True)
class Trail:
    """A resolved path: the values from the root, their names, and the names that do not exist.

    ``steps`` counts the components of all links followed.
    """

    values: list[Value]
    names: Parts
    missing: Parts
    steps: int = 0

    @classmethod
    def start(cls, root: Directory) -> Self:
        """Return the trail of the root."""
        return cls([root], [], [])

    @property
    def directory(self) -> Directory | None:
        """The directory at the end of the existing part, or None if that is something else."""
        value = self.values[-1]
        return None if isinstance(value, int) else value

    def child(self, name: bytes) -> Value | None:
        """Return the entry *name* of the current directory, or None if it does not exist."""
        directory = self.directory
        # below a missing directory nothing exists, but ".." can lead back
        return directory.entries.get(name) if directory and not self.missing else None

    def down(self, name: bytes, child: Value | None) -> None:
        """Go to *name*; *child* is its value, or None if it does not exist."""
        if child is None:
            self.missing.append(name)
        else:
            self.values.append(child)
            self.names.append(name)

    def up(self) -> None:
        """Go to the parent directory; the parent of the root is the root."""
        if self.missing:
            self.missing.pop()
        elif self.names:
            self.names.pop()
            self.values.pop()

    def reset(self) -> None:
        """Go to the root."""
        del self.values[1:]
        self.names.clear()
        self.missing.clear()
