"""Add local files to an image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import UnsupportedError
from tarkit.rootfs.local_files import LocalFile, local_files
from tarkit.rootfs.overlay.context import OverlayContext
from tarkit.streams.files import open_regular
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.member import Member, MemberType
from tarkit.values import dataclass, replace


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
        """Yield everything that determines the effect of the change, to be hashed."""
        yield os.fsencode(self.destination)
        yield os.fsencode(self.source.name)
        for found in local_files(self.source):
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
        for found in local_files(self.source):
            if found.kind is MemberType.OTHER:
                raise _unsupported(found)

    def make(self, work: OverlayContext) -> None:
        """Apply the change to *work*."""
        top = self.destination
        for found in local_files(self.source):
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


def _put(work: OverlayContext, destination: str, found: LocalFile, *, keep_owners: bool) -> None:
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


def _unsupported(found: LocalFile) -> UnsupportedError:
    return UnsupportedError("not a file, directory or symbolic link", where=str(found.path))
