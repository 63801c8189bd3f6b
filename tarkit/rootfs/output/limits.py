"""Limits of Linux filesystems, enforced for every output: directories, tars and filesystem images.

A tar and some filesystems could hold more, but then an image would fit some outputs and not others,
and its files would be lost on the next machine.
"""

from __future__ import annotations

from tarkit.errors import UnsupportedError
from tarkit.rootfs.node import Node
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import MemberType, Traits
from tarkit.tar.names import shown

MAX_NAME = 255
"""Maximum length of one component of a path, in bytes."""

MAX_TARGET = 4095
"""Maximum length of the target of a symbolic link, in bytes."""

MAX_LINKS = 65_000
"""Maximum number of hard links to one file: the limit of ext4, lower than that of others."""

_OWNERS = range((1 << 32) - 1)  # chown(2) reserves 2**32 - 1 for "unchanged"
_MAJORS, _MINORS = range(1 << 12), range(1 << 20)
_SHOWN = 300  # bytes of a path in a message
_DEVICES = (MemberType.CHAR, MemberType.BLOCK)


def require_writable(tree: Tree) -> None:
    """Raise :class:`UnsupportedError` with the path of the first entry that no output can hold."""
    if not _may_have_problem(tree):
        return
    for path, node in tree.walk():
        problem = _problem(path.rpartition(b"/")[2], node)
        if problem:
            raise UnsupportedError(problem, where=_where(path), hint="leave it out with --remove")


def _may_have_problem(tree: Tree) -> bool:
    """Return True if any entry of the layers has a problem, even one that the tree does not have."""
    return (
        any(map(_traits_problem, tree.table.traits()))
        or any(count > MAX_LINKS for count in tree.links.values())
        or any(
            max(map(len, directory.entries)) > MAX_NAME or b"\0" in b"".join(directory.entries)
            for directory in tree.directories()
            if directory.entries
        )
    )


def _where(path: bytes) -> str:
    """Return *path* for a message, shortened if it is very long."""
    return "/" + (shown(path) if len(path) <= _SHOWN else shown(path[:_SHOWN]) + "…")


def _problem(name: bytes, node: Node) -> str | None:
    """Return why no output can hold *node* with *name*, or None if all can."""
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} bytes is too long; the maximum is {MAX_NAME}"
    if b"\0" in name:
        return "name contains a NUL byte"
    if node.links > MAX_LINKS:
        return f"{node.links} hard links are too many; the maximum is {MAX_LINKS}"
    return _traits_problem(node.facts[1][0])


def _traits_problem(member: Traits) -> str | None:
    if member.uid not in _OWNERS or member.gid not in _OWNERS:
        return f"invalid owner {member.uid}:{member.gid}"
    if member.type is MemberType.SYMLINK:
        return _target_problem(member.linkname)
    if member.type in _DEVICES and not _is_device(member):
        return f"invalid device number {member.devmajor}:{member.devminor}"
    return None


def _target_problem(target: bytes) -> str | None:
    if not target:
        return "symbolic link with an empty target"
    if len(target) > MAX_TARGET:
        return f"a link target of {len(target)} bytes is too long; the maximum is {MAX_TARGET}"
    return "target of a symbolic link contains a NUL byte" if b"\0" in target else None


def _is_device(member: Traits) -> bool:
    return member.devmajor in _MAJORS and member.devminor in _MINORS
