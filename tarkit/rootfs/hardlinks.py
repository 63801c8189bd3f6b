"""Find the target of each hard link of a layer.

A hard link refers to the file that is present when its entry is applied: an earlier file of the
same layer or, failing that, a file of the layers below as it was before this layer's whiteouts and
replacements. If neither exists, the link waits for a later entry of its layer.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from tarkit.errors import LimitExceededError, MalformedError, UnsafePathError
from tarkit.rootfs.names import Parts, path_of, split
from tarkit.rootfs.resolve import Resolver
from tarkit.rootfs.trail import Directory, Value
from tarkit.tar.names import shown


class _Waiting(NamedTuple):
    """A link whose target does not exist yet: the directory and the real path of its entry."""

    directory: Directory
    path: Parts
    linkname: bytes


class HardLinks:
    """Finds the targets of the hard links of a layer and adds their rows to *linked*.

    A link without a target yet has its own row in the tree. ``aufs`` maps paths to the files that
    AUFS stored as link targets.
    """

    def __init__(self, resolver: Resolver, linked: set[int], *, strict: bool) -> None:
        self._resolver = resolver
        self._linked = linked
        self._strict = strict
        self._lower: dict[bytes, int] = {}
        self._waiting: dict[int, _Waiting] = {}
        self.aufs: dict[bytes, int] = {}

    def note_lower(self, linkname: bytes) -> None:
        """Record the target *linkname* of a link in the layers below.

        Must be called before the layer hides or replaces anything.
        """
        if linkname in self._lower:
            return
        parts = split(linkname, strict=self._strict)
        # The layer may replace the offending link before the entry is applied.
        with suppress(UnsafePathError, LimitExceededError):
            target = self._resolver.get(parts)
            if isinstance(target, int):
                self._lower[linkname] = target

    def target(self, linkname: bytes) -> int | None:
        """Return the inode that a link to *linkname* refers to, or None if the link must wait.

        Must be called before the link's entry, or its parent directory, replaces anything.
        """
        found = self._find(linkname)
        if not isinstance(found, int) or found in self._waiting:
            return None
        self._linked.add(found)
        return found

    def wait(self, row: int, directory: Directory, parts: Parts, linkname: bytes) -> int:
        """Return *row*, that of a link to *linkname*, which stands for the target until bound.

        The link's entry is at *parts*, in *directory*.
        """
        path = [*self._resolver.real_parts(parts[:-1]), parts[-1]]
        self._waiting[row] = _Waiting(directory, path, linkname)
        return row

    def bind_waiting(self) -> None:
        """Bind the waiting links; raises :class:`MalformedError` if a target does not exist."""
        bound: dict[int, Value | None] = {}
        for row, (directory, path, linkname) in self._waiting.items():
            self._follow(row, bound)
            if directory.entries.get(path[-1]) != row:
                continue  # a later entry of the layer replaced the link
            target = bound[row]
            if isinstance(target, int):
                self._linked.add(target)
                self._resolver.put(directory, path[-1], target)
            elif self._resolver.get(path) == row:
                kind = "directory" if target else "missing file"
                raise MalformedError(f"hard link to {kind} {shown(linkname)}", where=path_of(path))

    def _follow(self, row: int, bound: dict[int, Value | None]) -> None:
        """Add the targets of *row* and of every waiting link in its chain to *bound*."""
        chain = []
        target: Value | None = row
        while isinstance(target, int) and target in self._waiting and target not in bound:
            chain.append(target)
            bound[target] = None  # final if the links form a loop
            target = self._find(self._waiting[target].linkname)
        if isinstance(target, int):
            target = bound.get(target, target)
        bound.update(dict.fromkeys(chain, target))

    def _find(self, linkname: bytes) -> Value | None:
        parts = split(linkname, strict=self._strict)
        if self.aufs and (kept := self.aufs.get(b"/".join(parts))) is not None:
            return kept
        found = self._resolver.get(parts)
        if found is None or not isinstance(found, int):
            return self._lower.get(linkname, found)
        return found
