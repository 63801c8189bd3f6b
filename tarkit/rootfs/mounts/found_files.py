"""Stage files that were found in a real directory."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator

from tarkit.rootfs.mounts.recorded import RecordedAttributes
from tarkit.rootfs.names import Parts
from tarkit.rootfs.node import Node
from tarkit.rootfs.pairs import content_digest
from tarkit.rootfs.writable.staged_tree import StagedFileSystem, checked
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.uncached import read_at
from tarkit.streams.walking import Found
from tarkit.tar.member import Member, MemberType
from tarkit.values import dataclass, replace

_KINDS = {
    stat.S_IFREG: MemberType.FILE,
    stat.S_IFDIR: MemberType.DIRECTORY,
    stat.S_IFLNK: MemberType.SYMLINK,
    stat.S_IFIFO: MemberType.FIFO,
    stat.S_IFCHR: MemberType.CHAR,
    stat.S_IFBLK: MemberType.BLOCK,
}


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An entry of a directory: its attributes *now* and, if it existed, those *before*."""

    found: Found
    now: RecordedAttributes
    before: RecordedAttributes | None

    @property
    def kind(self) -> MemberType | None:
        """The type of the entry, or None for a socket, which no layer can hold."""
        return _KINDS.get(stat.S_IFMT(self.now.mode))

    @property
    def parts(self) -> Parts:
        """The path of the entry."""
        return [part for part in self.found.path.split(b"/") if part]

    @property
    def is_same_inode(self) -> bool:
        """True if the path had the same inode before."""
        return self.before is not None and self.before.inode == self.now.inode


class FoundFiles:
    """Stages the files that were found in *files*.

    Without root, all new files belong to the user; in *files* they belong to root, as in a
    container in which this user is root.
    """

    def __init__(self, files: StagedFileSystem) -> None:
        self._files = files
        self._firsts: dict[tuple[int, int], Parts] = {}

    def take(self, file: FoundFile, *, replaced: bool = False) -> None:
        """Stage *file*; if *replaced*, the directory has nothing in common with the old one."""
        kind = file.kind
        if kind is None:
            return
        status = file.found.status
        if status.st_nlink > 1 and kind is not MemberType.DIRECTORY:
            first = self._firsts.setdefault((status.st_dev, status.st_ino), file.parts)
            if first != file.parts:
                self._files.put_link(checked(file.parts), first)
                return
        old = self._files.lookup(file.parts)
        if old is not None and (old.type is not kind or replaced):
            old = None
        self._store(file, kind, old)

    def drop(self, paths: Iterable[bytes]) -> None:
        """Remove *paths*, if they exist."""
        for path in paths:
            parts = [part for part in path.split(b"/") if part]
            if self._files.lookup(parts) is not None:
                self._files.drop(parts)

    def _store(self, file: FoundFile, kind: MemberType, old: Node | None) -> None:
        """Stage *file*; *old* is its earlier state, if it has any."""
        member = self._member(file, kind, old)
        is_same = old is not None and (kind is not MemberType.FILE or self._has_content(file, old))
        if old is not None and is_same:
            if not _differs(old.member, member):
                return  # an overlay copies files for many reasons
            staged = self._files.adopt(self._files, old, member)
        elif kind is MemberType.FILE:
            staged = self._files.stage(_chunks(file.found), member)
        else:
            staged = member
        if old is None:
            self._files.put(checked(file.parts), staged)
        elif not file.is_same_inode and old.links > 1:
            self._files.put(file.parts, staged)  # the other names keep the old inode
        else:
            self._files.change(file.parts, staged)

    def _member(self, file: FoundFile, kind: MemberType, old: Node | None) -> Member:
        """Return the metadata of *file*: the metadata of *old* with all changes."""
        now, found = file.now, file.found
        before = file.before if old is not None else None
        meta = Member(b"", kind) if old is None else old.member
        is_device = kind in (MemberType.CHAR, MemberType.BLOCK)
        device = found.status.st_rdev if is_device else 0
        owner = (now.uid, now.gid)
        if before is not None and owner == (before.uid, before.gid):
            owner = (meta.uid, meta.gid)
        elif os.geteuid() != 0 and owner == (os.geteuid(), os.getegid()):
            owner = (0, 0)
        return replace(
            meta,
            mode=meta.mode if before and before.mode == now.mode else stat.S_IMODE(now.mode),
            uid=owner[0],
            gid=owner[1],
            mtime_ns=meta.mtime_ns if before and before.mtime_ns == now.mtime_ns else now.mtime_ns,
            linkname=found.readlink() if kind is MemberType.SYMLINK else b"",
            devmajor=os.major(device),
            devminor=os.minor(device),
            xattrs=meta.xattrs if before and before.xattrs == now.xattrs else now.xattrs,
        )

    def _has_content(self, file: FoundFile, old: Node) -> bool:
        if file.now.size != old.member.size:
            return False
        hasher = hashlib.sha256()
        for chunk in _chunks(file.found):
            hasher.update(chunk)
        return hasher.digest() == content_digest(self._files, old)


def _chunks(found: Found) -> Iterator[bytes]:
    descriptor = found.open()
    try:
        position = 0
        while chunk := read_at(descriptor, CHUNK_SIZE, position):
            yield chunk
            position += len(chunk)
    finally:
        os.close(descriptor)


def _differs(old: Member, new: Member) -> bool:
    """Return True if anything but the location of the data differs."""
    return (old.type, old.mode, old.uid, old.gid, old.size, old.mtime_ns, old.linkname) != (
        new.type, new.mode, new.uid, new.gid, new.size, new.mtime_ns, new.linkname,
    ) or (old.devmajor, old.devminor, dict(old.xattrs)) != (
        new.devmajor, new.devminor, dict(new.xattrs),
    )  # fmt: skip
