"""A member of a tar archive, independent of the dialect of its header."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType
from typing import NamedTuple, Self

from tarkit.values import dataclass

NO_XATTRS: Mapping[bytes, bytes] = MappingProxyType({})


class MemberType(enum.Enum):
    """The type of a member; the value is its POSIX ``typeflag``."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    CHAR = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"
    OTHER = b"?"  # any other type flag: the data is kept, but its meaning is unknown

    # Enum hashes the name, in Python; traits contain a type, and are looked up by the million.
    __hash__ = object.__hash__

    @property
    def has_data(self) -> bool:
        """True if data may follow the header."""
        return self in (MemberType.FILE, MemberType.OTHER)

    @property
    def is_link(self) -> bool:
        """True if a member of this type refers to another one."""
        return self in (MemberType.HARDLINK, MemberType.SYMLINK)


class Segment(NamedTuple):
    """A run of stored bytes of a sparse member, by its offset in the logical content."""

    offset: int
    length: int


# Not frozen: a frozen dataclass sets its 17 fields through object.__setattr__, which takes longer
# than decoding a header does. Only the functions that finish parsing a header assign to a field.
@dataclass(slots=True, unsafe_hash=True)
class Member:
    """The metadata of a member, with pax and GNU extensions applied.

    Treat it as immutable: use :func:`dataclasses.replace` for a changed copy. Names are the raw
    bytes of the archive. ``mode`` holds the twelve permission bits, ``mtime_ns`` nanoseconds since
    the epoch, ``size`` the logical size in bytes. ``sparse`` lists the stored segments of a sparse
    member, with holes between them; it is None for all others. Only ``FILE`` and ``OTHER`` members
    have data.

    ``offset`` is the position of the first header in the archive, ``data_offset`` that of the data,
    and ``stored`` the size of the data in bytes. Writers ignore these three.
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


class Traits(NamedTuple):
    """The fields that many members of an archive share; ``headers`` is the size of their headers."""

    type: MemberType
    mode: int
    uid: int
    gid: int
    linkname: bytes
    uname: bytes
    gname: bytes
    devmajor: int
    devminor: int
    headers: int

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return the traits of *member*."""
        return cls(
            member.type, member.mode, member.uid, member.gid, member.linkname, member.uname,
            member.gname, member.devmajor, member.devminor, member.data_offset - member.offset,
        )  # fmt: skip
