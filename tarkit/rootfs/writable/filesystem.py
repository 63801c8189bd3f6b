"""Write to a root filesystem without unpacking it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tarkit.errors import PathNotFoundError, RefusedError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.filesystem import Path as PathName
from tarkit.rootfs.names import Parts, path_of
from tarkit.rootfs.node import Node
from tarkit.rootfs.path_patterns import PathPatterns
from tarkit.rootfs.writable.additions import Owner, add_local, copy_tree
from tarkit.rootfs.writable.staged_tree import StagedFileSystem, checked
from tarkit.streams.chunks import Readable, chunks_of
from tarkit.tar.member import Member, MemberType
from tarkit.values import replace

_ROOT = (0, 0)


class WritableFileSystem(StagedFileSystem):
    """A root filesystem that starts as *base*, with changes staged in *directory*.

    The tree of *base* is shared and never changes; it must stay open. Changes already in *directory*
    are made again, so that work continues after a restart. One process at a time may use it. The
    result is this tree: :func:`tarkit.rootfs.layer_writer.write_layer` writes it as a layer.

    Paths are resolved inside the root, as in a container, and links are followed as the kernel does.
    Besides those of :class:`~tarkit.rootfs.filesystem.FileSystem`, methods raise
    :class:`~tarkit.errors.RefusedError` if something is in the way. *clock* returns the time of
    changes in nanoseconds; by default ``SOURCE_DATE_EPOCH``, or now. *open_layer* opens layers that
    hold data of files copied in place; without it, such files cannot be read after a restart. If
    *directory* is read-only, so is the root filesystem.
    """

    def write(
        self,
        path: PathName,
        data: bytes | Readable,
        *,
        mode: int | None = None,
        owner: Owner | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Write *data* to the file at *path*, following links; create it if it is missing.

        An existing file keeps its metadata, except for the given values. A new file has mode 0644,
        and owner 0:0.
        """
        parts = self.locate(path, follow=True)
        node = self.lookup(parts)
        if node is not None and node.type is not MemberType.FILE:
            raise RefusedError(f"a {node.type.name.lower()} is in the way", where=path_of(parts))
        meta = Member(b"") if node is None else node.member
        uid, gid = (meta.uid, meta.gid) if owner is None else owner
        meta = replace(
            meta,
            mode=meta.mode if mode is None else mode,
            uid=uid,
            gid=gid,
            mtime_ns=self.now(mtime_ns),
        )
        pieces = (data,) if isinstance(data, bytes) else chunks_of(data)
        self._store(parts, self.stage(pieces, meta))

    def mkdir(
        self,
        path: PathName,
        *,
        mode: int = 0o755,
        owner: Owner = _ROOT,
        parents: bool = False,
        mtime_ns: int | None = None,
    ) -> None:
        """Create a directory; if *parents*, also missing parents, and it may exist already."""
        trail = self.tree.trail(self.tree.parts(path), follow=parents)
        if not trail.missing:
            if not parents or trail.directory is None:
                raise RefusedError("exists already", where=path_of(trail.names))
            return
        if trail.directory is None:
            raise RefusedError("not a directory", where=path_of(trail.names))
        if len(trail.missing) > 1 and not parents:
            missing = path_of(trail.names + trail.missing[:-1])
            raise PathNotFoundError("no such directory", where=missing)
        meta = Member(b"", MemberType.DIRECTORY, mode, *owner, mtime_ns=self.now(mtime_ns))
        parts = trail.names
        for name in trail.missing:
            parts = checked([*parts, name])
            self.put(parts, meta)
        self._end(trail.names)

    def symlink(
        self, path: PathName, target: PathName, *, owner: Owner = _ROOT, mtime_ns: int | None = None
    ) -> None:
        """Create a symbolic link to *target* at *path*, which must not exist."""
        link = target.encode("utf-8", "surrogateescape") if isinstance(target, str) else target
        if not link or b"\0" in link:
            raise RefusedError("a link needs a target without NUL", where=str(path))
        meta = Member(
            b"", MemberType.SYMLINK, 0o777, *owner, mtime_ns=self.now(mtime_ns), linkname=link
        )
        self._store(self.vacant(path), meta)

    def make_node(
        self,
        path: PathName,
        kind: MemberType,
        *,
        mode: int = 0o600,
        owner: Owner = _ROOT,
        device: tuple[int, int] = (0, 0),
        mtime_ns: int | None = None,
    ) -> None:
        """Create a FIFO or a device node, with major and minor number, at *path*."""
        meta = Member(
            b"", kind, mode, *owner, mtime_ns=self.now(mtime_ns),
            devmajor=device[0], devminor=device[1],
        )  # fmt: skip
        self._store(self.vacant(path), meta)

    def link(self, path: PathName, existing: PathName) -> None:
        """Make *path*, which must not exist, another name of the file *existing*."""
        first = self.existing(existing, follow=False)
        node = self.lookup(first)
        if node is None or node.directory is not None:
            raise RefusedError("a directory has only one name", where=path_of(first))
        parts = self.vacant(path)
        self.put_link(parts, first)
        self._end(parts[:-1])

    def chmod(self, path: PathName, mode: int) -> None:
        """Set the twelve permission bits, following links."""
        self._change(path, follow=True, mode=mode & 0o7777)

    def chown(self, path: PathName, uid: int, gid: int, *, follow: bool = True) -> None:
        """Set the owner; set-id bits stay."""
        self._change(path, follow=follow, uid=uid, gid=gid)

    def utime(self, path: PathName, mtime_ns: int, *, follow: bool = True) -> None:
        """Set the modification time."""
        self._change(path, follow=follow, mtime_ns=mtime_ns)

    def set_xattr(self, path: PathName, name: bytes, value: bytes, *, follow: bool = True) -> None:
        """Set the extended attribute *name*."""
        parts = self.existing(path, follow=follow)
        xattrs = {**self._node(parts).member.xattrs, name: value}
        self._change(path, follow=follow, xattrs=xattrs)

    def remove_xattr(self, path: PathName, name: bytes, *, follow: bool = True) -> None:
        """Remove the extended attribute *name*; raises :class:`PathNotFoundError` if it is missing."""
        parts = self.existing(path, follow=follow)
        xattrs = dict(self._node(parts).member.xattrs)
        if xattrs.pop(name, None) is None:
            raise PathNotFoundError(f"no extended attribute {name!r}", where=path_of(parts))
        self._change(path, follow=follow, xattrs=xattrs)

    def remove(self, path: PathName) -> None:
        """Remove *path* and everything below it; of a symbolic link, only the link."""
        parts = self.existing(path, follow=False)
        if not parts:
            raise RefusedError("the root cannot be removed", where="/")
        self.drop(parts)
        self._end(parts[:-1])

    def rename(self, path: PathName, new: PathName) -> None:
        """Move *path* to *new*, in place of a file or an empty directory there, as ``rename(2)`` does."""
        old, target = self.existing(path, follow=False), self.locate(new, follow=False)
        if target == old and old:
            return
        if target[: len(old)] == old:
            raise RefusedError("a directory cannot move into itself", where=path_of(old))
        moved, replaced = self._node(old), self.lookup(target)
        if replaced is not None and moved == replaced:
            return  # two names of one file
        if replaced is not None and not _may_replace(moved, replaced):
            raise RefusedError("exists already", where=path_of(target))
        self.move(old, target)
        self._end(old[:-1], target[:-1])

    def copy(
        self,
        source: FileSystem,
        path: PathName,
        destination: PathName,
        *,
        follow: bool = False,
        owner: Owner | None = None,
    ) -> None:
        """Copy *path* of *source* to *destination*: its metadata, owned by *owner* if given.

        Data in plain layers is not copied: the staged files refer to it, and :attr:`needed_layers`
        lists these layers. A directory is copied with everything below it; an existing directory
        keeps its metadata and its other entries. Everything else replaces existing entries. Hard
        links between copied files are preserved.
        """
        parts = self.locate(destination, follow=False)
        copy_tree(self, source, source.tree.parts(path), parts, follow=follow, owner=owner)
        self._end(parts[:-1])

    def add(
        self,
        directory: Path,
        destination: PathName,
        *,
        owner: Owner | None = _ROOT,
        exclude: Sequence[str] = (),
    ) -> None:
        """Add the contents of the local *directory*, or a local file, at *destination*.

        All files belong to *owner*; if it is None, to their owners on this machine. *exclude* are
        patterns as in ``.dockerignore``. See :mod:`tarkit.rootfs.local_files` for the other metadata.
        """
        parts = self.locate(destination, follow=False)
        add_local(self, directory, parts, owner=owner, exclude=PathPatterns(exclude))
        self._end(parts[:-1])

    def _store(self, parts: Parts, member: Member) -> None:
        """Put *member* at *parts*; an existing inode gets its data and metadata."""
        if self.lookup(parts) is not None:
            self.change(parts, member)
            self.flush()
        else:
            self.put(parts, member)
            self._end(parts[:-1])

    def _end(self, *parents: Parts) -> None:
        """End a change of the entries of *parents*."""
        for parent in parents:
            self.touch(parent)
        self.flush()

    def _node(self, parts: Parts) -> Node:
        return self.tree.find(parts, follow=False)

    def _change(self, path: PathName, *, follow: bool, **fields: Any) -> None:
        self.amend(self.existing(path, follow=follow), **fields)
        self.flush()


def _may_replace(moved: Node, replaced: Node) -> bool:
    if replaced.directory is None:
        return moved.directory is None
    return moved.directory is not None and not replaced.directory.entries
