"""Resolve the paths of entries during a merge, and create missing parent directories.

Siblings share the same few links in their path, so a directory reached through links is cached
until an entry might change the target of one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tarkit.errors import LimitExceededError
from tarkit.rootfs.limits import STEPS_PER_ENTRY, MergeLimits
from tarkit.rootfs.names import MAX_DEPTH, Parts, require_visible
from tarkit.rootfs.trail import Directory, Trail, Value
from tarkit.rootfs.tree import Tree


class _Reached(NamedTuple):
    """A value, and the length of its path without links."""

    value: Value
    length: int


class Resolver:
    """Finds values of *tree*, and makes directories in it, within *limits*."""

    def __init__(self, tree: Tree, limits: MergeLimits) -> None:
        self._tree = tree
        self._limits = limits
        self._behind_links: dict[bytes, _Reached] = {}
        # The last directory found; the next entry is most often in the same one.
        self._last: Parts | None = None
        self._last_directory = tree.top

    def forget(self) -> None:
        """Clear the caches, because some paths may now lead elsewhere."""
        self._last = None
        self._behind_links.clear()

    def put(self, directory: Directory, name: bytes, value: Value) -> None:
        """Set the entry *name* of *directory* to *value*, replacing any old entry."""
        old = directory.entries.get(name)
        if (isinstance(value, int) and self._tree.is_symlink(value)) or (
            old is not None and self.leads_on(old)
        ):
            self.forget()
        directory.entries[name] = value

    def put_files(self, directory: Directory, names: Sequence[bytes], rows: range) -> bool:
        """Set entries of *directory* to *rows*, which are no symbolic links, if no path can change.

        Return False without a change if one of the *names* is that of a directory or a link.
        """
        entries = directory.entries
        if not entries.keys().isdisjoint(names):
            old = [value for name in names if (value := entries.get(name)) is not None]
            if any(map(self.leads_on, old)):
                return False
        entries.update(zip(names, rows, strict=True))
        return True

    def remove(self, directory: Directory, name: bytes) -> None:
        """Remove the entry *name* of *directory*, if it has one."""
        old = directory.entries.pop(name, None)
        if old is not None and self.leads_on(old):
            self.forget()

    def clear(self, directory: Directory) -> None:
        """Remove all entries of *directory*."""
        if directory.entries:
            directory.entries.clear()
            self.forget()

    def leads_on(self, value: Value) -> bool:
        """Return True if *value* can be on the way to another path: a directory or a symbolic link."""
        return not isinstance(value, int) or self._tree.is_symlink(value)

    def get(self, parts: Parts) -> Value | None:
        """Return the value at *parts*, or None if there is none; a link at its end is not followed."""
        if not parts:
            return self._tree.top
        found = self.find(parts[:-1])
        return None if found is None or isinstance(found, int) else found.entries.get(parts[-1])

    def real_parts(self, parts: Parts) -> Parts:
        """Return *parts* with every link followed, even if the end does not exist."""
        trail = self._trail(parts)
        return trail.names + trail.missing

    def make_directory(self, parts: Parts, layer: int, entries: int = 1) -> Directory:
        """Return the directory at *parts*, for *entries* entries of *layer*; create missing ones.

        Follows links, and replaces files on the way.
        """
        found = self.find(parts, entries)
        if found is None or isinstance(found, int):
            trail = self._trail(parts)
            if len(trail.values) + len(trail.missing) > MAX_DEPTH:
                raise LimitExceededError(
                    f"path has more than {MAX_DEPTH} directories", limit=MAX_DEPTH
                )
            found = self._make(trail, layer)
            if entries > 1:
                self.find(parts, entries - 1)  # counts their paths
        return found if found.owner is self._tree.token else self.owned(parts)

    def owned(self, parts: Parts) -> Directory:
        """Return the existing directory at *parts*; copy it if other trees use it, too."""
        self.forget()
        return self._tree.writable(self._tree.real_parts(parts))

    def find(self, parts: Parts, entries: int = 1) -> Value | None:
        """Return the value at *parts*, following links, or None if there is none.

        It is looked up for *entries* entries with such a path.
        """
        if parts == self._last:
            return self._last_directory
        if len(parts) > STEPS_PER_ENTRY:
            self._limits.follow(len(parts))
        directory = self._tree.top
        for name in parts:
            child = directory.entries.get(name)
            if child is None or isinstance(child, int):
                break
            directory = child
        else:
            self._last, self._last_directory = parts, directory
            return directory
        if child is None or not self._tree.is_symlink(child):
            return None
        return self._behind_link(parts, entries)

    def _behind_link(self, parts: Parts, entries: int) -> Value | None:
        path = b"/".join(parts)
        reached = self._behind_links.get(path)
        if reached is None:
            trail = self._trail(parts)
            if trail.missing:
                return None
            reached = _Reached(trail.values[-1], _length(trail.names))
            self._behind_links[path] = reached
        # even if cached: each entry behind the link has this long path in a walk
        self._limits.add_paths(entries, reached.length)
        return reached.value

    def _trail(self, parts: Parts) -> Trail:
        trail = self._tree.trail(parts)
        self._limits.follow(trail.steps)
        return trail

    def _make(self, trail: Trail, layer: int) -> Directory:
        names, missing = trail.names, trail.missing
        while trail.directory is None:  # a file in the place of a directory is replaced
            missing.insert(0, names.pop())
            trail.values.pop()
        require_visible(missing)
        directory = trail.directory
        if directory.owner is not self._tree.token:
            directory = self.owned(names)
        length = _length(names)
        for name in missing:
            length += 1 + len(name)
            self._limits.add_directory()
            self._limits.add_paths(1, length)
            child = Directory(~layer, self._tree.token)
            self.put(directory, name, child)
            directory = child
        return directory


def _length(names: Parts) -> int:
    """Return the length in bytes of the path that consists of *names*."""
    return sum(map(len, names)) + len(names)
