"""Copy files into a tree with staged changes: from another root filesystem, or from this machine."""

from __future__ import annotations

import os
from pathlib import Path

from tarkit.errors import RefusedError, UnsupportedError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.local_files import LocalFile, local_files
from tarkit.rootfs.names import Parts
from tarkit.rootfs.node import Node
from tarkit.rootfs.path_patterns import PathPatterns
from tarkit.rootfs.writable.staged_tree import StagedFileSystem, checked
from tarkit.streams.chunks import chunks_of
from tarkit.streams.files import open_regular
from tarkit.tar.member import Member, MemberType
from tarkit.values import replace

Owner = tuple[int, int]
"""User and group ID."""


def copy_tree(
    files: StagedFileSystem,
    source: FileSystem,
    path: Parts,
    parts: Parts,
    *,
    follow: bool,
    owner: Owner | None,
) -> None:
    """Copy *path* of *source* to the real path *parts*.

    See :meth:`tarkit.rootfs.writable.filesystem.WritableFileSystem.copy`.
    """
    # *source* may be *files*: a fork does not change while files are added
    tree = source.tree.fork()
    firsts: dict[Node, Parts] = {}
    for below, node in tree.walk(tree.find(path, follow=follow).value):
        target = [*parts, *(part for part in below.split(b"/") if part)]
        first = firsts.setdefault(node, target) if node.links > 1 else target
        if first is not target:
            files.put_link(target, first)
            continue
        meta = node.member
        if owner is not None:
            meta = replace(meta, uid=owner[0], gid=owner[1])
        _place(files, target, files.adopt(source, node, meta))


def _place(files: StagedFileSystem, parts: Parts, member: Member) -> None:
    """Put *member* at *parts*; leave an existing directory unchanged."""
    old = files.lookup(parts)
    is_directory = member.type is MemberType.DIRECTORY
    if is_directory and old is not None and old.directory is not None:
        return
    if not parts:
        raise RefusedError("the root cannot be replaced", where="/")
    files.put(checked(parts), member)


def add_local(
    files: StagedFileSystem,
    top: Path,
    parts: Parts,
    *,
    owner: Owner | None,
    exclude: PathPatterns,
) -> None:
    """Add *top*, of this machine, at the real path *parts*.

    See :meth:`tarkit.rootfs.writable.filesystem.WritableFileSystem.add`.
    """
    firsts: dict[str, Parts] = {}
    for found in local_files(top, exclude):
        below = [] if found.below == "." else os.fsencode(found.below).split(b"/")
        target = [*parts, *below]
        # the first name of an inode may have been excluded
        first = firsts.setdefault(found.first or found.below, target)
        if first is not target:
            files.put_link(target, first)
            continue
        status = found.status
        uid, gid = (status.st_uid, status.st_gid) if owner is None else owner
        meta = Member(
            b"", found.kind, found.mode, uid, gid, mtime_ns=status.st_mtime_ns, xattrs=found.xattrs
        )
        _place(files, target, _loaded(files, found, meta))


def _loaded(files: StagedFileSystem, found: LocalFile, meta: Member) -> Member:
    match found.kind:
        case MemberType.FILE:
            with open_regular(found.path) as data:
                return files.stage(chunks_of(data), meta)
        case MemberType.SYMLINK:
            return replace(meta, linkname=os.fsencode(found.path.readlink()))
        case MemberType.DIRECTORY:
            return meta
    raise UnsupportedError("not a file, directory or symbolic link", where=str(found.path))
