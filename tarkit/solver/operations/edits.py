"""File actions that change one path: mkfile, mkdir, symlink and rm."""

from __future__ import annotations

from tarkit.errors import PathNotFoundError, RefusedError
from tarkit.llb.messages import (
    FileActionMkDir,
    FileActionMkFile,
    FileActionRm,
    FileActionSymlink,
)
from tarkit.rootfs.names import Parts
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.rootfs.writable.staged_tree import checked
from tarkit.solver.operations.owners import Owner
from tarkit.solver.operations.paths import matches, parts_of, resolved, rooted, shown
from tarkit.tar.member import Member, MemberType


def mkfile(files: WritableFileSystem, action: FileActionMkFile, owner: Owner | None) -> None:
    """Write a file, through links. An existing one keeps its mode, and its owner without *owner*."""
    parts = resolved(files, action.path)
    node = files.lookup(parts)
    _require_parent(files, parts)
    files.write(
        b"/".join(parts),
        bytes(action.data),
        mode=action.mode & 0o777 if node is None else None,
        owner=owner,
        mtime_ns=time_of(action.timestamp),
    )


def mkdir(files: WritableFileSystem, action: FileActionMkDir, owner: Owner | None) -> None:
    """Create a directory; do nothing if the path exists, even if it is a file."""
    parts = resolved(files, action.path)
    if files.lookup(parts) is not None:
        return
    if not action.make_parents:
        _require_parent(files, parts)
    make_directories(
        files, parts, mode=action.mode & 0o777, owner=owner, mtime_ns=time_of(action.timestamp)
    )


def make_directories(
    files: WritableFileSystem,
    parts: Parts,
    *,
    mode: int = 0o755,
    owner: Owner | None = None,
    mtime_ns: int | None = None,
) -> None:
    """Create the directory at the real path *parts* and the missing ones above it."""
    depth = len(parts)
    while files.lookup(parts[:depth]) is None:
        depth -= 1
    top = files.lookup(parts[:depth])
    if top is not None and top.directory is None:
        raise RefusedError("not a directory", where=shown(parts[:depth]))
    if depth == len(parts):
        return
    uid, gid = owner or (0, 0)
    member = Member(b"", MemberType.DIRECTORY, mode, uid, gid, mtime_ns=files.now(mtime_ns))
    for length in range(depth + 1, len(parts) + 1):
        files.put(checked(parts[:length]), member)
    files.touch(parts[:depth])


def symlink(files: WritableFileSystem, action: FileActionSymlink, owner: Owner | None) -> None:
    """Create a symbolic link; its path must not exist."""
    parts = resolved(files, action.newpath)
    _require_parent(files, parts)
    files.symlink(
        b"/".join(parts),
        action.oldpath,
        owner=owner or (0, 0),
        mtime_ns=time_of(action.timestamp),
    )


def rm(files: WritableFileSystem, action: FileActionRm) -> None:
    """Remove a path and everything below it, or all paths that a pattern matches."""
    found = matches(files, action.path) if action.allow_wildcard else [action.path]
    for path in found:
        _remove(files, path, allow_missing=action.allow_not_found)


def _remove(files: WritableFileSystem, path: str, *, allow_missing: bool) -> None:
    parts = parts_of(path)
    if not parts:
        raise RefusedError("the root cannot be removed", where=rooted(path))
    trail = files.tree.trail(parts, follow=False)
    if not trail.missing:
        files.drop(trail.names)
        files.touch(trail.names[:-1])
    elif not allow_missing:
        raise PathNotFoundError("no such file or directory", where=rooted(path))


def time_of(timestamp: int) -> int | None:
    """Return the time of an action in nanoseconds since the epoch, None for the present."""
    return None if timestamp == -1 else timestamp


def _require_parent(files: WritableFileSystem, parts: Parts) -> None:
    parent = files.lookup(parts[:-1])
    if parent is None:
        raise PathNotFoundError("no such directory", where=shown(parts[:-1]))
    if parent.directory is None:
        raise RefusedError("not a directory", where=shown(parts[:-1]))
