"""Make a root filesystem equal to a local directory, reading only the files that have changed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import PathNotFoundError
from tarkit.rootfs.content_hash import digest_text, entry_hasher
from tarkit.rootfs.local_files import kept_attributes, kept_mode
from tarkit.rootfs.names import Parts
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.rootfs.writable.staged_tree import checked
from tarkit.solver.operations.local_filter import LocalFilter
from tarkit.solver.operations.local_table import Fingerprint, LocalTable, Row
from tarkit.streams.cancellation import check
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_staging
from tarkit.streams.walking import Found, walk_directory
from tarkit.tar.member import Member, MemberType
from tarkit.values import replace

_CHUNK = 1 << 20
_RACY = 50_000_000  # nanoseconds: clocks of filesystems are coarse
_KINDS = {
    stat.S_IFREG: MemberType.FILE,
    stat.S_IFDIR: MemberType.DIRECTORY,
    stat.S_IFLNK: MemberType.SYMLINK,
    stat.S_IFIFO: MemberType.FIFO,
    stat.S_IFCHR: MemberType.CHAR,
    stat.S_IFBLK: MemberType.BLOCK,
}  # sockets are left out


class LocalWalk:
    """Walks over the wanted entries of *top*; no link is followed, and nothing is opened."""

    def __init__(self, top: Directory, chosen: LocalFilter) -> None:
        self.top = top
        self._chosen = chosen
        self._firsts: dict[tuple[int, int], str] = {}

    def selected(self) -> Iterator[Found]:
        """Yield the wanted entries, each after its parent directories."""
        above: list[Found] = []
        closed: list[bytes] = []
        with os_errors(self.top.path):
            for found in walk_directory(self.top.fileno(), closed, enters=self._enters):
                path = os.fsdecode(found.path)
                while above and not found.path.startswith(above[-1].path + b"/"):
                    above.pop()
                if self._is_wanted(found) and self._chosen.selects(path):
                    yield from above
                    above.clear()
                    yield found
                elif stat.S_ISDIR(found.status.st_mode):
                    above.append(found)
        if closed:
            raise PathNotFoundError(
                "permission denied", where=str(self.top.path / os.fsdecode(closed[0])),
                hint="exclude it from the build",
            )  # fmt: skip

    def _enters(self, found: Found) -> bool:
        path = os.fsdecode(found.path)
        return self._is_wanted(found) and self._chosen.may_contain(path)

    def _is_wanted(self, found: Found) -> bool:
        # unfinished outputs of tarkit may be in the directory while it is read
        known = stat.S_IFMT(found.status.st_mode) in _KINDS
        return known and not is_staging(Path(os.fsdecode(found.name)))

    def first(self, path: str, status: os.stat_result) -> str:
        """Return an earlier name of the same file, or an empty text."""
        if status.st_nlink < 2 or not stat.S_ISREG(status.st_mode):
            return ""
        first = self._firsts.setdefault((status.st_dev, status.st_ino), path)
        return "" if first == path else first


def is_current(walk: LocalWalk, table: LocalTable) -> bool:
    """Return True if the directory still agrees with *table*; no file is read."""
    seen = 0
    for found in walk.selected():
        check()
        path = os.fsdecode(found.path)
        row = table.get(path)
        if row is None or row.is_racy or row.mark != Fingerprint.of(found.status):
            return False
        if row.first != walk.first(path, found.status):
            return False
        seen += 1
    return seen == len(table)


class LocalSync:
    """Compares the entries of *walk* with *table*, which describes *files*, and changes both.

    All entries belong to root. Links are copied and never followed, and pipes and devices are never
    opened. ``read`` counts the files whose content was read. A file that changes meanwhile may be
    inconsistent, and is read again next time.
    """

    def __init__(self, files: WritableFileSystem, walk: LocalWalk, table: LocalTable) -> None:
        self._files, self._walk, self._table = files, walk, table
        self._seen: set[str] = set()
        self._began = time.time_ns()
        self.read = 0

    def run(self) -> None:
        """Bring the files up to date; raises the errors of the system."""
        for found in self._walk.selected():
            check()
            with os_errors(self._walk.top.path / os.fsdecode(found.path)):
                self._update(found)
        for path in self._table.paths() - self._seen:
            parts = _parts(path)
            if self._files.lookup(parts) is not None:
                self._files.drop(parts)
            self._table.drop(path)
        self._files.flush()

    def _update(self, found: Found) -> None:
        path = os.fsdecode(found.path)
        self._seen.add(path)
        first = self._walk.first(path, found.status)
        old = self._table.get(path)
        mark = Fingerprint.of(found.status)
        if old is not None and old.mark == mark and old.first == first and not old.is_racy:
            return
        parts = checked(_parts(path))
        if first:
            self._files.put_link(parts, _parts(first))
            self._table.put(path, Row(mark, first))
            return
        member = member_of(found)
        digest = b""
        try:
            if member.type is MemberType.FILE:
                member, digest = self._load(found, member)
            elif member.type is MemberType.SYMLINK:
                member = replace(member, linkname=found.readlink())
        except OSError as error:
            if not isinstance(error, FileNotFoundError) and _still(found):
                raise
            self._seen.discard(path)  # it vanished, or has another type now
            return
        existing = self._files.lookup(parts)
        both = existing is not None and existing.directory is not None
        if both and member.type is MemberType.DIRECTORY:
            self._files.change(parts, member)
        else:
            self._files.put(parts, member)
        self._table.put(path, Row(mark, "", digest.decode(), self._is_racy(mark), member.size))

    def _load(self, found: Found, member: Member) -> tuple[Member, bytes]:
        """Stage the content of a file; return its metadata and its content digest."""
        self.read += 1
        descriptor = found.open()
        if not _is_same(os.fstat(descriptor), found.status):
            os.close(descriptor)
            raise FileNotFoundError
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            size = found.status.st_size
            hasher = entry_hasher(replace(member, size=size))

            def chunks() -> Iterator[bytes]:
                left = size  # a file may grow as fast as it is read
                while left and (piece := file.read(min(left, _CHUNK))):
                    check()
                    left -= len(piece)
                    hasher.update(piece)
                    yield piece

            staged = self._files.stage(chunks(), member)
        return staged, digest_text(hasher) if staged.size == size else b""

    def _is_racy(self, mark: Fingerprint) -> bool:
        """Return True if the file may change unnoticed, because its times are too recent."""
        return max(mark.ctime_ns, mark.mtime_ns) > self._began - _RACY


def _still(found: Found) -> bool:
    """Return True if the entry is still the same inode."""
    try:
        now = os.stat(found.name, dir_fd=found.parent, follow_symlinks=False)
    except OSError:
        return False
    return _is_same(now, found.status)


def _is_same(now: os.stat_result, before: os.stat_result) -> bool:
    """Return True if two states are of one inode; the number of a removed one may be used again."""
    same_type = stat.S_IFMT(now.st_mode) == stat.S_IFMT(before.st_mode)
    return same_type and os.path.samestat(now, before)


def member_of(found: Found) -> Member:
    """Return the metadata that the entry has in a build."""
    status = found.status
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    is_device = kind in (MemberType.CHAR, MemberType.BLOCK)
    return Member(
        b"", kind, 0o777 if kind is MemberType.SYMLINK else kept_mode(status, kind),
        mtime_ns=status.st_mtime_ns,
        xattrs=kept_attributes(found.handle, status, kind),
        devmajor=os.major(status.st_rdev) if is_device else 0,
        devminor=os.minor(status.st_rdev) if is_device else 0,
    )  # fmt: skip


def _parts(path: str) -> Parts:
    return os.fsencode(path).split(b"/")
