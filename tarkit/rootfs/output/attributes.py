"""Owners, modes, times and extended attributes on what was unpacked, as far as the system lets us.

As root everything is set. Anybody else gets what one may have: files belong to the caller, device
nodes are left out, set-id bits and attributes outside ``user.`` are dropped where the owner is not
the real one. With *rootless* owners are kept in ``user.rootlesscontainers`` attributes, for tools
that know them (https://rootlesscontaine.rs/proto/rootlesscontainers.proto).
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter

from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.tar.member import Member, MemberType

ROOTLESS_XATTR = b"user.rootlesscontainers"

_MAY_NOT = (errno.EPERM, errno.EACCES, errno.EINVAL)
_CANNOT = (*_MAY_NOT, errno.EOPNOTSUPP, errno.ENOSPC, errno.E2BIG, errno.ERANGE)

OWNERS = "owners"
DEVICES = "device nodes"
XATTRS = "extended attributes"
SETID = "set-id bits"
TIMES = "times"


class Attributes:
    """Sets the metadata of members on files; ``skipped`` counts what could not be, by kind."""

    def __init__(self, *, rootless: bool = False) -> None:
        self._user, self._group = os.geteuid(), os.getegid()
        self._root = self._user == 0 and not rootless
        self._rootless = rootless
        self.skipped: Counter[str] = Counter()

    def apply(self, target: int | bytes, member: Member) -> None:
        """As :meth:`give`, and count what could not be kept."""
        self.skipped.update(self.give(target, member))

    def give(self, target: int | bytes, member: Member) -> list[str]:
        """Give *target*, a descriptor or the path of what cannot be opened, what *member* says.

        Return what could not be kept. Raises :class:`OSError`.
        """
        follow = isinstance(target, int)
        mode, lost = member.mode, []
        if not self._chown(target, member, follow):
            if not self._rootless:
                lost.append(OWNERS)
            if mode & (stat.S_ISUID | stat.S_ISGID):
                mode &= ~(stat.S_ISUID | stat.S_ISGID)
                lost.append(SETID)
        sorted_out = sort_xattrs(member)
        xattrs = sorted(sorted_out.kept.items())
        if self._rootless and (member.uid or member.gid):
            xattrs.insert(0, (ROOTLESS_XATTR, _rootless(member.uid, member.gid)))
        refused = [name for name, value in xattrs if not _set_xattr(target, name, value, follow)]
        if refused or sorted_out.lost:
            lost.append(XATTRS)
        if member.type is not MemberType.SYMLINK:  # links have no mode of their own
            os.chmod(target, mode)  # noqa: PTH101  it may be a descriptor
        os.utime(target, ns=(member.mtime_ns, member.mtime_ns), follow_symlinks=follow)
        if not _is_usual(member.mtime_ns) and not _has_time(target, member.mtime_ns, follow):
            lost.append(TIMES)
        return lost

    def make_device(self, path: bytes, member: Member) -> bool:
        """Make the device node *member* at *path*, if that is allowed; return whether it was.

        Raises :class:`OSError`.
        """
        kind = stat.S_IFCHR if member.type is MemberType.CHAR else stat.S_IFBLK
        try:
            if self._root:
                device = os.makedev(member.devmajor, member.devminor)
                os.mknod(path, kind | 0o600, device)
                return True
        except OSError as error:
            if error.errno not in _MAY_NOT:
                raise
        self.skipped[DEVICES] += 1
        return False

    def notes(self) -> tuple[str, ...]:
        """What was left out, a line for each kind."""
        hint = "" if self._rootless else "; run as root, or see --rootless"
        return tuple(
            f"{kind} of {count} entries were not kept{hint if kind == OWNERS else ''}"
            if kind != DEVICES
            else f"{count} device nodes were left out; only root can make them"
            for kind, count in sorted(self.skipped.items())
        )

    def _chown(self, target: int | bytes, member: Member, follow: bool) -> bool:
        """Set the owner; return whether the file has it now."""
        if not self._root:
            return (member.uid, member.gid) == (self._user, self._group)
        try:
            os.chown(target, member.uid, member.gid, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _MAY_NOT:
                raise
            return False
        return True


def _is_usual(mtime_ns: int) -> bool:
    """Whether every filesystem can tell the time, so that nobody has to ask it again."""
    return 0 <= mtime_ns < 2**31 * 10**9


def _has_time(target: int | bytes, mtime_ns: int, follow: bool) -> bool:
    """Whether *target* has the time it was given, to the second."""
    return os.stat(target, follow_symlinks=follow).st_mtime_ns // 10**9 == mtime_ns // 10**9  # noqa: PTH116


def _set_xattr(target: int | bytes, name: bytes, value: bytes, follow: bool) -> bool:
    """Set the attribute; whether the system lets us."""
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(target, name, value, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True


def _rootless(uid: int, gid: int) -> bytes:
    """The message ``Resource {uint32 uid = 1; uint32 gid = 2;}`` of protobuf, which leaves out zeros."""
    fields = ((0x08, uid), (0x10, gid))
    return b"".join(bytes([tag]) + _varint(value) for tag, value in fields if value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
