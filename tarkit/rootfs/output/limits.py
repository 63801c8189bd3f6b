"""Limits of Linux filesystems, enforced for every output: directories, tars and filesystem images.

A tar and some filesystems could hold more, but then an image would fit some outputs and not others,
and its files would be lost on the next machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import UnsupportedError
from tarkit.rootfs.tree import Node, Tree
from tarkit.tar.member import Member, MemberType
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
    if not any(_problem(name, node) for name, node in _entries(tree)):
        return
    for path, node in tree.walk():  # slower than _entries, which builds no paths
        problem = _problem(path.rpartition(b"/")[2], node)
        if problem:
            raise UnsupportedError(problem, where=_where(path), hint="leave it out with --remove")


def _where(path: bytes) -> str:
    """Return *path* for a message, shortened if it is very long."""
    return "/" + (shown(path) if len(path) <= _SHOWN else shown(path[:_SHOWN]) + "…")


def _entries(tree: Tree) -> Iterator[tuple[bytes, Node]]:
    """Yield every name and its inode."""
    yield b"", tree.root
    pending = [tree.root]
    while pending:
        children = pending.pop().children or {}
        yield from children.items()
        pending += [node for node in children.values() if node.children]


def _problem(name: bytes, node: Node) -> str | None:
    """Return why no output can hold *node* with *name*, or None if all can."""
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} bytes is too long; the maximum is {MAX_NAME}"
    if b"\0" in name:
        return "name contains a NUL byte"
    if node.links > MAX_LINKS:
        return f"{node.links} hard links are too many; the maximum is {MAX_LINKS}"
    return _inode_problem(node)


def _inode_problem(node: Node) -> str | None:
    member = node.member
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


def _is_device(member: Member) -> bool:
    return member.devmajor in _MAJORS and member.devminor in _MINORS
