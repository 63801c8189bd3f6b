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
from tarkit.rootfs.tree import Node
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown

_UNBOUND = Member(b"", MemberType.HARDLINK)


class _Waiting(NamedTuple):
    """A link whose target does not exist yet: the directory and the real path of its entry."""

    directory: Node
    path: Parts
    member: Member


class HardLinks:
    """Finds the targets of the hard links of layer *number* and adds them to *linked*.

    ``aufs`` maps paths to the files that AUFS stored as link targets.
    """

    def __init__(self, resolver: Resolver, number: int, linked: set[Node], *, strict: bool) -> None:
        self._resolver = resolver
        self._number = number
        self._linked = linked
        self._strict = strict
        self._lower: dict[bytes, Node] = {}
        self._waiting: dict[Node, _Waiting] = {}
        self.aufs: dict[bytes, Node] = {}

    def note_lower(self, member: Member) -> None:
        """Record the target of link *member* in the layers below.

        Must be called before the layer hides or replaces anything.
        """
        if member.linkname in self._lower:
            return
        parts = split(member.linkname, strict=self._strict)
        # The layer may replace the offending link before the entry is applied.
        with suppress(UnsafePathError, LimitExceededError):
            target = self._resolver.get(parts)
            if target is not None and target.children is None:
                self._lower[member.linkname] = target

    def target(self, member: Member) -> Node | None:
        """Return the inode that link *member* refers to, or None if the link must wait.

        Must be called before the link's entry, or its parent directory, replaces anything.
        """
        found = self._find(member)
        if found is None or found.children is not None or found in self._waiting:
            return None
        self._linked.add(found)
        return found

    def wait(self, directory: Node, parts: Parts, member: Member) -> Node:
        """Return a placeholder inode for the target of link *member* until :meth:`bind_waiting`.

        The link's entry is at *parts*, in *directory*.
        """
        waiting = Node(_UNBOUND, self._number)
        path = [*self._resolver.real_parts(parts[:-1]), parts[-1]]
        self._waiting[waiting] = _Waiting(directory, path, member)
        return waiting

    def bind_waiting(self) -> None:
        """Bind the waiting links; raises :class:`MalformedError` if a target does not exist."""
        bound: dict[Node, Node | None] = {}
        for inode, (directory, path, member) in self._waiting.items():
            self._follow(inode, bound)
            if directory.children is None or directory.children.get(path[-1]) is not inode:
                continue  # a later entry of the layer replaced the link
            target = bound[inode]
            if target is not None and target.children is None:
                self._linked.add(target)
                self._resolver.put(directory, path[-1], target)
            elif self._resolver.get(path) is inode:
                kind = "directory" if target else "missing file"
                raise MalformedError(
                    f"hard link to {kind} {shown(member.linkname)}", where=path_of(path)
                )

    def _follow(self, inode: Node, bound: dict[Node, Node | None]) -> None:
        """Add the targets of *inode* and of every waiting link in its chain to *bound*."""
        chain = []
        target: Node | None = inode
        while target is not None and target in self._waiting and target not in bound:
            chain.append(target)
            bound[target] = None  # final if the links form a loop
            target = self._find(self._waiting[target].member)
        if target is not None:
            target = bound.get(target, target)
        bound.update(dict.fromkeys(chain, target))

    def _find(self, member: Member) -> Node | None:
        parts = split(member.linkname, strict=self._strict)
        if self.aufs and (kept := self.aufs.get(b"/".join(parts))):
            return kept
        found = self._resolver.get(parts)
        if found is None or found.children is not None:
            return self._lower.get(member.linkname, found)
        return found
