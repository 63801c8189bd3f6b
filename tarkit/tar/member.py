"""One member of a tar archive, whatever dialect its header was written in."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})


class MemberType(enum.Enum):
    """What a member is; the value is its POSIX type flag."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    CHAR = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"
    OTHER = b"?"  # a vendor's type flag; its data is kept, its meaning is not known

    @property
    def has_data(self) -> bool:
        """Whether data may follow the header."""
        return self in (MemberType.FILE, MemberType.OTHER)

    @property
    def is_link(self) -> bool:
        """Whether such a member names another one."""
        return self in (MemberType.HARDLINK, MemberType.SYMLINK)


class Segment(NamedTuple):
    """A run of stored bytes of a sparse member: where it begins in the logical content, and how long it is."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Member:
    """A member's metadata, after pax and GNU extensions were applied.

    Names are the bytes of the archive, neither cleaned nor decoded. ``mode`` holds the twelve
    permission bits, ``mtime_ns`` nanoseconds since the epoch, ``size`` the logical size in bytes.
    ``sparse`` lists what is stored of a sparse member (``None`` for all others); the rest is holes.
    ``offset`` is where the first of its headers begins, ``data_offset`` where its ``stored`` bytes
    do; writers ignore all three. Only ``FILE`` and ``OTHER`` members have data.
    """

    name: bytes
    type: MemberType = MemberType.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    linkname: bytes = b""
    uname: bytes = b""
    gname: bytes = b""
    devmajor: int = 0
    devminor: int = 0
    xattrs: Mapping[bytes, bytes] = field(default_factory=lambda: NO_XATTRS, hash=False)
    sparse: tuple[Segment, ...] | None = None
    offset: int = 0
    data_offset: int = 0
    stored: int = 0


@dataclass(slots=True)
class Draft:
    """A :class:`Member` while its headers are still being read: the same fields, open to change.

    A frozen dataclass sets its fields through ``object.__setattr__``, which takes longer than
    decoding a header does. So a draft is filled, and then becomes the member it describes.
    """

    name: bytes
    type: MemberType
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    linkname: bytes
    uname: bytes
    gname: bytes
    devmajor: int
    devminor: int
    xattrs: Mapping[bytes, bytes]
    sparse: tuple[Segment, ...] | None
    offset: int
    data_offset: int
    stored: int

    def finish(self) -> Member:
        """This very object, as a member; the draft is no more."""
        member: Any = self
        member.__class__ = Member
        finished: Member = member
        return finished
