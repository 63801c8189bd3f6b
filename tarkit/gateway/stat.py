"""Facts about files in results, as in BuildKit's messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from tarkit.rootfs.filesystem import Entry
from tarkit.tar.member import Member, MemberType
from tarkit.values import dataclass

DIRECTORY = 1 << 31
SYMLINK = 1 << 27
DEVICE = 1 << 26
FIFO = 1 << 25
SETUID = 1 << 23
SETGID = 1 << 22
CHARACTER = 1 << 21
STICKY = 1 << 20

_KINDS = {
    MemberType.DIRECTORY: DIRECTORY,
    MemberType.SYMLINK: SYMLINK,
    MemberType.FIFO: FIFO,
    MemberType.BLOCK: DEVICE,
    MemberType.CHAR: DEVICE | CHARACTER,
}
_SPECIAL = {0o4000: SETUID, 0o2000: SETGID, 0o1000: STICKY}


@dataclass(frozen=True, slots=True)
class Stat:
    """A file: ``path`` is its name, and ``mod_time`` is in nanoseconds since the epoch.

    ``mode`` is that of Go's ``os.FileMode``, as everywhere in BuildKit: a directory has bit 31, a
    symbolic link bit 27, and permissions are the lowest nine bits.
    """

    path: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mod_time: int = 0
    linkname: str = ""
    devmajor: int = 0
    devminor: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def is_dir(self) -> bool:
        """True if this is a directory."""
        return bool(self.mode & DIRECTORY)

    @property
    def is_symlink(self) -> bool:
        """True if this is a symbolic link."""
        return bool(self.mode & SYMLINK)

    @property
    def permissions(self) -> int:
        """The permission bits as in ``chmod``, with setuid, setgid and sticky."""
        special = (bit for bit, flag in _SPECIAL.items() if self.mode & flag)
        return self.mode & 0o777 | sum(special)


def stat_of(entry: Entry, path: str) -> Stat:
    """Return the facts about an *entry* of a filesystem, under the name *path*."""
    special = sum(flag for bit, flag in _SPECIAL.items() if entry.mode & bit)
    return Stat(
        path=path,
        mode=entry.mode & 0o777 | special | _KINDS.get(entry.type, 0),
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        mod_time=entry.mtime_ns,
        linkname=entry.target,
        devmajor=entry.major,
        devminor=entry.minor,
        xattrs={
            name.decode("utf-8", "surrogateescape"): value for name, value in entry.xattrs.items()
        },
    )


def stat_of_member(member: Member, path: str) -> Stat:
    """Return the facts about a *member* of a tar, under the name *path*."""
    special = sum(flag for bit, flag in _SPECIAL.items() if member.mode & bit)
    return Stat(
        path=path,
        mode=member.mode & 0o777 | special | _KINDS.get(member.type, 0),
        uid=member.uid,
        gid=member.gid,
        size=member.size,
        mod_time=member.mtime_ns,
        devmajor=member.devmajor,
        devminor=member.devminor,
        xattrs={
            name.decode("utf-8", "surrogateescape"): value for name, value in member.xattrs.items()
        },
    )
