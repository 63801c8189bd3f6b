"""Set owners, modes, times and extended attributes of unpacked files, as far as the system permits.

Root can set everything. For other users files belong to the caller, device nodes are left out, and
set-id bits of files of other owners and attributes outside ``user.`` are dropped. *rootless* stores
owners in ``user.rootlesscontainers`` attributes, for tools that support them
(https://rootlesscontaine.rs/proto/rootlesscontainers.proto).
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter

from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.tar.member import Member, MemberType

ROOTLESS_XATTR = b"user.rootlesscontainers"

_NOT_PERMITTED = (errno.EPERM, errno.EACCES, errno.EINVAL)
_REFUSED = (*_NOT_PERMITTED, errno.EOPNOTSUPP, errno.ENOSPC, errno.E2BIG, errno.ERANGE)

OWNERS = "owners"
DEVICES = "device nodes"
XATTRS = "extended attributes"
SETID = "set-id bits"
TIMES = "times"


class Attributes:
    """Sets the metadata of members on files; ``skipped`` counts failures by kind of metadata."""

    def __init__(self, *, rootless: bool = False) -> None:
        self._user, self._group = os.geteuid(), os.getegid()
        self._root = self._user == 0 and not rootless
        self._rootless = rootless
        self.skipped: Counter[str] = Counter()

    def apply(self, target: int | bytes, member: Member) -> None:
        """Set the metadata of *member* on *target* as :meth:`give` does, and count failures."""
        self.skipped.update(self.give(target, member))

    def give(self, target: int | bytes, member: Member) -> list[str]:
        """Set the metadata of *member* on *target*: a descriptor, or a path if it cannot be opened.

        Return the kinds of metadata that could not be set. Raises :class:`OSError`.
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
        # Filesystems clamp times outside their range silently.
        if not _is_usual(member.mtime_ns) and not _has_time(target, member.mtime_ns, follow):
            lost.append(TIMES)
        return lost

    def make_device(self, path: bytes, member: Member) -> bool:
        """Create the device node *member* at *path*; return False if that is not permitted.

        Raises :class:`OSError`.
        """
        kind = stat.S_IFCHR if member.type is MemberType.CHAR else stat.S_IFBLK
        try:
            if self._root:
                device = os.makedev(member.devmajor, member.devminor)
                os.mknod(path, kind | 0o600, device)
                return True
        except OSError as error:
            if error.errno not in _NOT_PERMITTED:
                raise
        self.skipped[DEVICES] += 1
        return False

    def notes(self) -> tuple[str, ...]:
        """Return a line for each kind of metadata that was left out."""
        hint = "" if self._rootless else "; run as root, or see --rootless"
        return tuple(
            f"{kind} of {count} entries were not kept{hint if kind == OWNERS else ''}"
            if kind != DEVICES
            else f"{count} device nodes were left out; only root can create them"
            for kind, count in sorted(self.skipped.items())
        )

    def _chown(self, target: int | bytes, member: Member, follow: bool) -> bool:
        """Set the owner; return True if the file now has it."""
        if not self._root:
            return (member.uid, member.gid) == (self._user, self._group)
        try:
            os.chown(target, member.uid, member.gid, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in _NOT_PERMITTED:
                raise
            return False
        return True


def _is_usual(mtime_ns: int) -> bool:
    """Return True if every filesystem can store the time, so that it need not be checked."""
    return 0 <= mtime_ns < 2**31 * 10**9


def _has_time(target: int | bytes, mtime_ns: int, follow: bool) -> bool:
    """Return True if *target* has the given time, to the second."""
    return os.stat(target, follow_symlinks=follow).st_mtime_ns // 10**9 == mtime_ns // 10**9  # noqa: PTH116


def _set_xattr(target: int | bytes, name: bytes, value: bytes, follow: bool) -> bool:
    """Set the attribute; return False if the system refuses."""
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(target, name, value, follow_symlinks=follow)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return False
    return True


def _rootless(uid: int, gid: int) -> bytes:
    """Return the protobuf message ``Resource {uint32 uid = 1; uint32 gid = 2;}``, without zeros."""
    fields = ((0x08, uid), (0x10, gid))  # tag: field number << 3 | wire type 0, a varint
    return b"".join(bytes([tag]) + _varint(value) for tag, value in fields if value)


def _varint(value: int) -> bytes:
    encoded = bytearray()  # seven bits a byte, lowest first; the top bit marks all but the last
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
