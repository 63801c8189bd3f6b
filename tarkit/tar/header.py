"""The 512-byte header block: v7, ustar and GNU, as POSIX.1-2017 (pax, "ustar Interchange Format") lays it out.

Reading one costs little because most of a header repeats from member to member: the decoded forms
of number fields, and of all that headers tend to share, are cached by their bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from zlib import adler32

from tarkit.errors import MalformedError
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.member import NO_XATTRS, Member, MemberType

MAX_SIZE = (1 << 63) - 1
"""Largest size or offset in bytes that any field may hold."""

ZERO_BLOCK = bytes(BLOCK_SIZE)

_TYPES = {
    **{kind.value: kind for kind in MemberType if kind is not MemberType.OTHER},
    b"\0": MemberType.FILE,
    b"7": MemberType.FILE,  # "contiguous"
    b"S": MemberType.FILE,  # old GNU sparse
}
_REGULAR = frozenset({0, ord("0"), ord("7")})
_OCTAL = b"01234567"
DISTINCT = 1 << 14
"""Sizes, times and checksums that are remembered: a large layer's worth."""


def parse(block: bytes, offset: int, data_offset: int, name: bytes | None = None) -> Member:
    """The member that header *block* describes; *name*, from an extension, overrides its own.

    Raises :class:`MalformedError` for a wrong checksum, and for numbers that are none or out of range.
    """
    _check_sum(block)
    (
        mode, uid, gid, kind, has_data, linkname, uname, gname, devmajor, devminor, prefix,
    ) = _shared(block[100:124] + block[156:])  # fmt: skip
    stored = _size(block[124:136]) if has_data else 0
    if name is None:
        name = text(block[:100])
        if prefix:
            name = prefix + b"/" + name
    if name.endswith(b"/") and block[156] in _REGULAR:  # a directory, as v7 and BSD wrote it
        kind = MemberType.DIRECTORY
        data_offset += stored + padding(stored)  # readers skip its data, if it has any
        stored = 0
    return Member(
        name, kind, mode, uid, gid, stored, _time(block[136:148]),
        linkname, uname, gname, devmajor, devminor,
        NO_XATTRS, None, offset, data_offset, stored,
    )  # fmt: skip


def extension_size(block: bytes) -> int:
    """How many bytes follow header *block*, which is about the next one; raises as :func:`parse`."""
    _check_sum(block)
    _shared(block[100:124] + block[156:])  # nobody asks for its numbers, but they must be some
    return _size(block[124:136])


def _check_sum(block: bytes) -> None:
    """Raise :class:`MalformedError` unless the checksum of header *block* is right.

    Its own field counts as blanks.
    """
    field = block[148:156]
    total = byte_sum(block[:256]) + byte_sum(block[256:])
    if total != _right_sum(field) and number(field) != signed_sum(block):
        raise MalformedError("the header's checksum is wrong")


def byte_sum(data: bytes) -> int:
    """The sum of up to 256 bytes.

    zlib adds faster than Python does, and Adler-32 is exact here: 255 * 256 is less than its modulus.
    """
    return (adler32(data) & 0xFFFF) - 1


def text(field: bytes) -> bytes:
    """A text field up to its NUL, or all of it."""
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    """A number field: octal, padded in any of the ways seen, or GNU base-256; blank is zero."""
    digits = field.strip(b" \0")
    if digits.strip(_OCTAL):
        if field[0] & 0x80:
            return _base_256(field)
        digits = text(digits).rstrip(b" ")
        if digits.strip(_OCTAL):
            raise MalformedError(f"a number field holds {field!r}")
    return int(digits, 8) if digits else 0


def _base_256(field: bytes) -> int:
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


@lru_cache(DISTINCT)
def _size(field: bytes) -> int:
    """A field of bytes."""
    size = number(field)
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"a size of {size} bytes")
    return size


@lru_cache(DISTINCT)
def _time(field: bytes) -> int:
    """A field of seconds, in nanoseconds."""
    seconds = number(field)
    if not -MAX_SIZE <= seconds <= MAX_SIZE:
        raise MalformedError(f"a time of {seconds} seconds")
    return seconds * 1_000_000_000


@lru_cache(DISTINCT)
def _right_sum(field: bytes) -> int:
    """What all bytes of a block must add up to whose checksum is *field*."""
    return number(field) - len(field) * 32 + sum(field)


def owner(value: int) -> int:
    """A user or group id as the kernel's 32 bits; negative ones wrap, as chown(2) wraps them."""
    if not -(1 << 31) <= value < 1 << 32:
        raise MalformedError(f"a user or group id of {value}")
    return value & 0xFFFFFFFF


def device(value: int) -> int:
    """A major or minor number, which has 32 bits at the most."""
    if not 0 <= value < 1 << 32:
        raise MalformedError(f"a device number of {value}")
    return value


def signed_sum(block: bytes) -> int:
    """The checksum as tars with signed characters computed it."""
    high = sum(byte > 127 for byte in block[:148] + block[156:])
    return sum(block[:148]) + sum(block[156:]) + 8 * 32 - 256 * high


class _Shared(NamedTuple):
    """What many headers have in common: all but name, size, time and checksum."""

    mode: int
    uid: int
    gid: int
    type: MemberType
    has_data: bool
    linkname: bytes
    uname: bytes
    gname: bytes
    devmajor: int
    devminor: int
    prefix: bytes


@lru_cache(maxsize=1024)
def _shared(area: bytes) -> _Shared:
    flag, linkname, magic, fields = area[24:25], area[25:125], area[125:133], area[133:]
    kind = _TYPES.get(flag, MemberType.OTHER)
    known = magic.startswith(b"ustar")  # a v7 header ends with the link name
    is_device = known and kind in (MemberType.CHAR, MemberType.BLOCK)
    return _Shared(
        mode=number(area[:8]) & 0o7777,
        uid=owner(number(area[8:16])),
        gid=owner(number(area[16:24])),
        type=kind,
        has_data=kind.has_data,
        linkname=text(linkname) if kind.is_link else b"",
        uname=text(fields[:32]) if known else b"",
        gname=text(fields[32:64]) if known else b"",
        devmajor=device(number(fields[64:72])) if is_device else 0,
        devminor=device(number(fields[72:80])) if is_device else 0,
        prefix=_prefix(magic, fields[80:]),
    )


def _prefix(magic: bytes, area: bytes) -> bytes:
    """The part of the name before its last 100 bytes.

    GNU headers keep times there; but Go before 1.8, and so Docker before 1.13, sometimes wrote a
    prefix under GNU's magic, which then is no number.
    """
    if magic.startswith(b"ustar\0"):
        return text(area[:155])
    if not magic.startswith(b"ustar ") or area[0] & 0x80 or not area[:12].strip(b" \0" + _OCTAL):
        return b""
    return text(area[:155])
