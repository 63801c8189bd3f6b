"""Select the extended attributes that Linux returns, by namespace and type of file.

All other attributes are dropped from every output. If a filesystem stores one, Linux lists it but
fails to read it, and overlayfs cannot copy the file up.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tarkit.tar.member import NO_XATTRS, Member, MemberType

_ACCESS, _DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
_CAPABILITY = b"security.capability"
_WITH_USER = (MemberType.FILE, MemberType.DIRECTORY)
# struct vfs_cap_data of linux/capability.h: the first word is the version and the effective flag.
_CAPABILITY_SIZES = {0x02000000: 20, 0x03000000: 24}  # by version
_EFFECTIVE = 1

# linux/posix_acl_xattr.h: a version, then entries of tag, permissions and user or group ID.
_ACL_VERSION = struct.pack("<I", 2)
_ACL_ENTRY = struct.Struct("<HHI")
# Tags in order: owner 01, users 02, group 04, groups 08, mask 10, others 20. Entries for users or
# groups require a mask.
_ACL_TAGS = re.compile(rb"\x01(?:\x04\x10?|\x02*\x04\x08*\x10)\x20")
_NOBODY = 0xFFFFFFFF  # ACL_UNDEFINED_ID, invalid for named users and groups


class Xattrs(NamedTuple):
    """The ``kept`` attributes of a file; ``lost`` is true if others were dropped."""

    kept: Mapping[bytes, bytes]
    lost: bool


def sort_xattrs(member: Member) -> Xattrs:
    """Select the attributes of *member* that Linux can read; ignore empty access control lists."""
    if not member.xattrs:
        return Xattrs(NO_XATTRS, lost=False)
    present = {name: value for name, value in member.xattrs.items() if not _is_no_acl(name, value)}
    kept = {name: value for name, value in present.items() if _is_usable(name, value, member.type)}
    return Xattrs(kept, lost=len(kept) < len(present))


def lost_note(count: int) -> Iterable[str]:
    """Yield a note that *count* entries lost attributes, unless *count* is 0."""
    if count:
        yield f"extended attributes of {count} entries were not kept"


def _is_no_acl(name: bytes, value: bytes) -> bool:
    return name in (_ACCESS, _DEFAULT) and value in (b"", _ACL_VERSION)


def _is_usable(name: bytes, value: bytes, kind: MemberType) -> bool:
    if name.startswith(b"user."):
        return kind in _WITH_USER
    if name == _DEFAULT:
        return kind is MemberType.DIRECTORY and _is_acl(value)
    if name == _ACCESS:
        return kind is not MemberType.SYMLINK and _is_acl(value)
    if name == _CAPABILITY:
        version = int.from_bytes(value[:4], "little") & ~_EFFECTIVE
        return len(value) == _CAPABILITY_SIZES.get(version)
    return True


def _is_acl(value: bytes) -> bool:
    """Return True if *value* is an access control list that Linux accepts."""
    entries = value[len(_ACL_VERSION) :]
    if not value.startswith(_ACL_VERSION) or len(entries) % _ACL_ENTRY.size:
        return False
    listed = list(_ACL_ENTRY.iter_unpack(entries))
    if any(tag > 0x20 or permissions > 7 for tag, permissions, _ in listed):
        return False
    named = [identity for tag, _, identity in listed if tag in (0x02, 0x08)]
    tags = bytes(tag for tag, _, _ in listed)
    return _NOBODY not in named and _ACL_TAGS.fullmatch(tags) is not None
