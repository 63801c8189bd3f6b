"""What no output holds, because Linux does not: the same for directories, tars and ext4 images.

A tar could say more, and so could some filesystems. Then an image would fit one output and not the
other, and a file of it would be lost on the next machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import UnsupportedError
from tarkit.rootfs.tree import Node, Tree
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown

MAX_NAME = 255
"""Longest name in bytes, of one component of a path."""

MAX_TARGET = 4095
"""Longest target of a symbolic link in bytes."""

MAX_LINKS = 65_000
"""Most names of one file; ext4 counts no further, though others do."""

_OWNERS = range((1 << 32) - 1)  # the last number means "leave it" to chown(2)
_MAJORS, _MINORS = range(1 << 12), range(1 << 20)
_SHOWN = 300  # bytes of a path
_DEVICES = (MemberType.CHAR, MemberType.BLOCK)


def require_writable(tree: Tree) -> None:
    """Raise :class:`UnsupportedError`, with the path, for the first thing that no output holds."""
    if not any(_problem(name, node) for name, node in _entries(tree)):
        return
    for path, node in tree.walk():  # slower, as it knows the paths
        problem = _problem(path.rpartition(b"/")[2], node)
        if problem:
            raise UnsupportedError(problem, where=_where(path), hint="--remove leaves it out")


def _where(path: bytes) -> str:
    """Return *path* for a message, which it must not fill."""
    return "/" + (shown(path) if len(path) <= _SHOWN else shown(path[:_SHOWN]) + "…")


def _entries(tree: Tree) -> Iterator[tuple[bytes, Node]]:
    """Yield every inode with each of its names."""
    yield b"", tree.root
    pending = [tree.root]
    while pending:
        children = pending.pop().children or {}
        yield from children.items()
        pending += [node for node in children.values() if node.children]


def _problem(name: bytes, node: Node) -> str | None:
    """Return why no output holds *node* called *name*, or None."""
    if len(name) > MAX_NAME:
        return f"a name of {len(name)} bytes is too long, {MAX_NAME} is the most"
    if b"\0" in name:
        return "a name with a NUL in it"
    if node.links > MAX_LINKS:
        return f"{node.links} hard links are too many, {MAX_LINKS} is the most"
    return _inode_problem(node)


def _inode_problem(node: Node) -> str | None:
    member = node.member
    if member.uid not in _OWNERS or member.gid not in _OWNERS:
        return f"the owner {member.uid}:{member.gid}, which no file can have"
    if member.type is MemberType.SYMLINK:
        return _target_problem(member.linkname)
    if member.type in _DEVICES and not _is_device(member):
        return f"the device {member.devmajor}:{member.devminor}, which Linux cannot have"
    return None


def _target_problem(target: bytes) -> str | None:
    if not target:
        return "a symbolic link to nothing"
    if len(target) > MAX_TARGET:
        return f"a link to a path of {len(target)} bytes is too long, {MAX_TARGET} is the most"
    return "a symbolic link to a path with a NUL in it" if b"\0" in target else None


def _is_device(member: Member) -> bool:
    return member.devmajor in _MAJORS and member.devminor in _MINORS
