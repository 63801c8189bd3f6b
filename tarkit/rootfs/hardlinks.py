"""Hard links of one layer: the file each entry refers to.

A hard link refers to the file that is present when its entry is applied: one of the same layer
that came earlier, or else one of the layers below, as it was before this layer's whiteouts and
replacements. Only if neither exists, the link waits for a later entry of its layer.
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
    """Finds the targets of the hard links of layer *number*; adds each of them to *linked*.

    ``aufs`` holds, by path, the files that AUFS kept for links to refer to.
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
        """Remember the target that link *member* has in the layers below.

        Must be called before the layer hides or replaces anything.
        """
        if member.linkname in self._lower:
            return
        parts = split(member.linkname, strict=self._strict)
        with suppress(UnsafePathError, LimitExceededError):  # the layer may put it right
            target = self._resolver.get(parts)
            if target is not None and target.children is None:
                self._lower[member.linkname] = target

    def target(self, member: Member) -> Node | None:
        """Return the inode that link *member* refers to, or None if it has to wait for it.

        Must be called before the entry of the link, or a directory for it, replaces anything.
        """
        found = self._find(member)
        if found is None or found.children is not None or found in self._waiting:
            return None
        self._linked.add(found)
        return found

    def wait(self, directory: Node, parts: Parts, member: Member) -> Node:
        """Return an inode that stands for the target of link *member* until :meth:`bind_waiting`.

        The entry of the link is at *parts*, in *directory*.
        """
        waiting = Node(_UNBOUND, self._number)
        path = [*self._resolver.real_parts(parts[:-1]), parts[-1]]
        self._waiting[waiting] = _Waiting(directory, path, member)
        return waiting

    def bind_waiting(self) -> None:
        """Bind the links that waited; raises :class:`MalformedError` if a target does not exist."""
        bound: dict[Node, Node | None] = {}
        for inode, (directory, path, member) in self._waiting.items():
            self._follow(inode, bound)
            if directory.children is None or directory.children.get(path[-1]) is not inode:
                continue  # the layer itself put something else there
            target = bound[inode]
            if target is not None and target.children is None:
                self._linked.add(target)
                self._resolver.put(directory, path[-1], target)
            elif self._resolver.get(path) is inode:
                is_there = "a directory" if target else "which is not there"
                raise MalformedError(
                    f"a hard link to {shown(member.linkname)}, {is_there}", where=path_of(path)
                )

    def _follow(self, inode: Node, bound: dict[Node, Node | None]) -> None:
        """Add to *bound* where *inode* leads, and every waiting link on the way."""
        chain = []
        target: Node | None = inode
        while target is not None and target in self._waiting and target not in bound:
            chain.append(target)
            bound[target] = None  # which it keeps if the links form a loop
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
