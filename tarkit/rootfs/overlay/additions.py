"""Add local files to an image."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tarkit.errors import UnsupportedError
from tarkit.rootfs.overlay.context import OverlayContext
from tarkit.streams.files import open_regular
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_staging
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.member import Member, MemberType
from tarkit.values import dataclass, replace

_CAPABILITY = "security.capability"
_SET_ID = stat.S_ISUID | stat.S_ISGID
_KINDS = {
    stat.S_IFREG: MemberType.FILE,
    stat.S_IFDIR: MemberType.DIRECTORY,
    stat.S_IFLNK: MemberType.SYMLINK,
}


@dataclass(frozen=True, slots=True)
class AddFiles:
    """A change that adds the file *source*, or the contents of the directory *source*, at *destination*.

    Owners become 0:0 unless *keep_owners*. Modes, ``user.`` attributes and file capabilities are kept, but set-id bits
    and capabilities only if root or the caller owns the file, since they would give its owner
    root's rights. Symbolic links and hard links between added files are preserved. Times are those
    of the files, but at most ``SOURCE_DATE_EPOCH`` if it is set.
    """

    source: Path
    destination: str
    keep_owners: bool = False

    def parts(self) -> Iterator[bytes]:
        """See :class:`tarkit.rootfs.overlay.context.Change`."""
        yield os.fsencode(self.destination)
        yield os.fsencode(self.source.name)
        for found in _found(self.source):
            yield os.fsencode(found.below)
            yield found.kind.value
            # the number of attributes keeps the parts that follow unambiguous
            yield b"%o %d %d" % (found.mode, found.status.st_mtime_ns, len(found.xattrs))
            if self.keep_owners:
                yield b"%d:%d" % (found.status.st_uid, found.status.st_gid)
            for name, value in found.xattrs.items():
                yield name
                yield value
            yield os.fsencode(found.first or "")
            if found.first is not None:
                continue
            if found.kind is MemberType.FILE:
                with VerifyingReader(open_regular(found.path)) as file:
                    file.verify()
                    yield str(file.digest).encode()
            elif found.kind is MemberType.SYMLINK:
                yield os.fsencode(found.path.readlink())

    def check(self) -> None:
        """Raise the error of :meth:`make` if a file is missing or of an unsupported kind."""
        for found in _found(self.source):
            if found.kind is MemberType.OTHER:
                raise _unsupported(found)

    def make(self, work: OverlayContext) -> None:
        """See :class:`tarkit.rootfs.overlay.context.Change`."""
        top = self.destination
        for found in _found(self.source):
            if found.below != ".":
                destination = f"{top.rstrip('/')}/{found.below}"
            elif top.endswith("/") and found.kind is not MemberType.DIRECTORY:
                destination = top + self.source.name
            else:
                destination = top
            if found.first is None:
                _put(work, destination, found, keep_owners=self.keep_owners)
            else:
                work.link(destination, f"{top.rstrip('/')}/{found.first}")


def _put(work: OverlayContext, destination: str, found: _Found, *, keep_owners: bool) -> None:
    status = found.status
    member = Member(
        b"",
        found.kind,
        mode=found.mode,
        uid=status.st_uid if keep_owners else 0,
        gid=status.st_gid if keep_owners else 0,
        mtime_ns=status.st_mtime_ns,
        xattrs=found.xattrs,
    )
    match found.kind:
        case MemberType.FILE:
            work.put(destination, replace(member, size=status.st_size), found.path)
        case MemberType.SYMLINK:
            target = os.fsencode(found.path.readlink())
            work.put(destination, replace(member, linkname=target))
        case MemberType.DIRECTORY:
            existing = work.get(destination)
            if existing is None or existing.directory is None:
                work.put(destination, member)
        case _:
            raise _unsupported(found)


def _unsupported(found: _Found) -> UnsupportedError:
    return UnsupportedError("not a file, directory or symbolic link", where=str(found.path))


@dataclass(frozen=True, slots=True)
class _Found:
    """One entry to add: *below* is its path relative to the top, *first* an earlier name or None."""

    path: Path
    below: str
    status: os.stat_result
    kind: MemberType
    mode: int
    xattrs: dict[bytes, bytes]
    first: str | None


def _found(top: Path) -> Iterator[_Found]:
    """Yield *top* and everything below it, parents first, siblings by name."""
    first: dict[tuple[int, int], str] = {}
    pending = [top]
    while pending:
        path = pending.pop()
        below = path.relative_to(top).as_posix()
        with os_errors(path):
            status = path.stat() if path is top else path.lstat()
            if stat.S_ISDIR(status.st_mode):
                # unfinished outputs of tarkit may be in the tree while it is added
                inside = (each for each in path.iterdir() if not is_staging(each))
                pending += sorted(inside, reverse=True)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), MemberType.OTHER)
        other = None
        if kind is MemberType.FILE and status.st_nlink > 1:
            other = first.setdefault((status.st_dev, status.st_ino), below)
        trusted = status.st_uid in (0, os.geteuid()) if hasattr(os, "geteuid") else True
        mode = stat.S_IMODE(status.st_mode)
        yield _Found(
            path,
            below,
            status,
            kind,
            mode if trusted or kind is MemberType.DIRECTORY else mode & ~_SET_ID,
            _xattrs(path, kind, trusted=trusted),
            None if other == below else other,
        )


def _xattrs(path: Path, kind: MemberType, *, trusted: bool) -> dict[bytes, bytes]:
    """Return the attributes of *path* that belong to the file and not to the machine."""
    if kind not in (MemberType.FILE, MemberType.DIRECTORY) or not hasattr(os, "listxattr"):
        return {}
    names: list[str] = []
    with suppress(OSError):  # the filesystem does not support attributes
        names = sorted(os.listxattr(path))
    kept = [name for name in names if name.startswith("user.") or (trusted and name == _CAPABILITY)]
    with os_errors(path):
        return {os.fsencode(name): os.getxattr(path, name) for name in kept}
