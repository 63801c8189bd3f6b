"""Header blocks of 512 bytes in the v7, ustar and GNU dialects.

The layout is that of POSIX.1-2017 (pax, "ustar Interchange Format"); GNU's differences are in the
GNU tar manual, "Basic Tar Format". Most of a header repeats from member to member, so decoded
fields are cached by their bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from zlib import adler32

from tarkit.errors import MalformedError
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.member import NO_XATTRS, Member, MemberType, Traits

MAX_SIZE = (1 << 63) - 1
"""Largest size or offset in bytes that any field may hold."""

ZERO_BLOCK = bytes(BLOCK_SIZE)

# Fields of a header block: offset, length
#     name      0 100    chksum   148   8    uname    265  32
#     mode    100   8    typeflag 156   1    gname    297  32
#     uid     108   8    linkname 157 100    devmajor 329   8
#     gid     116   8    magic    257   6    devminor 337   8
#     size    124  12    version  263   2    prefix   345 155
#     mtime   136  12
# A v7 header ends with the link name. GNU uses "ustar  \0" as magic and version, and has other
# fields instead of the prefix: atime 345 12, ctime 357 12, and the sparse map (tarkit.tar.sparse).
NAME = slice(0, 100)
_MODE_TO_GID = slice(100, 124)
SIZE = slice(124, 136)
_MTIME = slice(136, 148)
CHECKSUM = slice(148, 156)
TYPE_FLAG = 156
_FROM_TYPE_FLAG = slice(156, BLOCK_SIZE)

CHECKSUM_BLANKS = 8 * ord(" ")
"""The value of the checksum field while the checksum is computed: eight spaces."""

_TYPES = {
    **{kind.value: kind for kind in MemberType if kind is not MemberType.OTHER},
    b"\0": MemberType.FILE,  # AREGTYPE: v7
    b"7": MemberType.FILE,  # CONTTYPE: stored contiguously, on systems that can
    b"S": MemberType.FILE,  # GNUTYPE_SPARSE
}
_REGULAR = frozenset({0, ord("0"), ord("7")})
_OCTAL = b"01234567"
DISTINCT = 1 << 14
"""Number of sizes, times and checksums to cache: enough for a large layer."""


Fields = tuple[Traits, bytes, int, int, bool]
"""Traits, name, size of the data, time in nanoseconds, and True if the name makes it a directory.

A file whose name ends with a slash is a directory in v7 and BSD.
"""


def decode(block: bytes, name: bytes | None = None) -> Fields:
    """Return the fields of header *block*; *name*, from an extension, overrides its own.

    Raises :class:`MalformedError` if the checksum is wrong or a number is malformed or out of range.
    """
    # Of printable ASCII, a whole block sums up to less than the modulus of Adler-32; see byte_sum.
    # Checked in place, because half the time of a header goes into calls.
    total = (adler32(block) & 0xFFFF) - 1 if block.isascii() else -1
    if total != _expected_sum(block[CHECKSUM]):
        _check_sum(block)
    traits, has_data, prefix = _shared(block[_MODE_TO_GID] + block[_FROM_TYPE_FLAG])
    stored = _size(block[SIZE]) if has_data else 0
    if name is None:
        end = block.find(b"\0", 0, NAME.stop)
        name = block[: end if end >= 0 else NAME.stop]
        if prefix:
            name = prefix + b"/" + name
    is_directory = name[-1:] == b"/" and block[TYPE_FLAG] in _REGULAR
    return traits, name, stored, _time(block[_MTIME]), is_directory


def parse(block: bytes, offset: int, data_offset: int, name: bytes | None = None) -> Member:
    """Return the member described by header *block*; raises the errors of :func:`decode`."""
    traits, name, stored, mtime_ns, is_directory = decode(block, name)
    kind, mode, uid, gid, linkname, uname, gname, devmajor, devminor, _ = traits
    if is_directory:
        kind = MemberType.DIRECTORY
        data_offset += stored + padding(stored)  # other readers skip its data, if any
        stored = 0
    return Member(
        name, kind, mode, uid, gid, stored, mtime_ns,
        linkname, uname, gname, devmajor, devminor,
        NO_XATTRS, None, offset, data_offset, stored,
    )  # fmt: skip


def extension_size(block: bytes) -> int:
    """Return the size of the data of *block*, the header of an extension.

    Raises the errors of :func:`parse`.
    """
    _check_sum(block)
    _shared(block[_MODE_TO_GID] + block[_FROM_TYPE_FLAG])  # only checks the numbers
    return _size(block[SIZE])


def _check_sum(block: bytes) -> None:
    """Raise :class:`MalformedError` unless the checksum of header *block* is correct."""
    field = block[CHECKSUM]
    # two calls of byte_sum, in place because this is done for every header
    total = (adler32(block[:256]) & 0xFFFF) + (adler32(block[256:]) & 0xFFFF) - 2
    if total != _expected_sum(field) and number(field) != signed_sum(block):
        raise MalformedError("wrong header checksum")


def byte_sum(data: bytes) -> int:
    """Return the sum of up to 256 bytes.

    zlib adds faster than Python, and Adler-32 is exact here: 255 * 256 is less than its modulus.
    """
    return (adler32(data) & 0xFFFF) - 1


def text(field: bytes) -> bytes:
    """Return a text field up to its NUL, or all of it if it has none."""
    return field.partition(b"\0")[0]


def number(field: bytes) -> int:
    """Decode a number field: octal with any padding, or GNU base-256; a blank field is zero.

    Raises :class:`MalformedError` for anything else.
    """
    digits = field.strip(b" \0")
    if digits.strip(_OCTAL):
        if field[0] & 0x80:
            return _base_256(field)
        digits = text(digits).rstrip(b" ")
        if digits.strip(_OCTAL):
            raise MalformedError(f"malformed number field: {field!r}")
    return int(digits, 8) if digits else 0


def _base_256(field: bytes) -> int:
    """Decode a big-endian number in two's complement behind the marker bit."""
    bits = 8 * len(field) - 1
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


@lru_cache(DISTINCT)
def _size(field: bytes) -> int:
    """Decode a size in bytes."""
    size = number(field)
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"size out of range: {size} bytes")
    return size


@lru_cache(DISTINCT)
def _time(field: bytes) -> int:
    """Decode a time in seconds; return nanoseconds."""
    seconds = number(field)
    if not -MAX_SIZE <= seconds <= MAX_SIZE:
        raise MalformedError(f"time out of range: {seconds} seconds")
    return seconds * 1_000_000_000


@lru_cache(DISTINCT)
def _expected_sum(field: bytes) -> int:
    """Return the sum of all bytes of a block if *field* is its correct checksum."""
    return number(field) - CHECKSUM_BLANKS + sum(field)


def owner(value: int) -> int:
    """Return a user or group ID as 32 bits; negative ones wrap as in chown(2).

    Raises :class:`MalformedError` if it has more.
    """
    if not -(1 << 31) <= value < 1 << 32:
        raise MalformedError(f"user or group ID out of range: {value}")
    return value & 0xFFFFFFFF


def device(value: int) -> int:
    """Return a major or minor number; raises :class:`MalformedError` if it exceeds 32 bits."""
    if not 0 <= value < 1 << 32:
        raise MalformedError(f"device number out of range: {value}")
    return value


def signed_sum(block: bytes) -> int:
    """Return the checksum over signed bytes, as some old tars computed it."""
    summed = block[: CHECKSUM.start] + block[CHECKSUM.stop :]
    high = sum(byte > 127 for byte in summed)
    return sum(summed) + CHECKSUM_BLANKS - 256 * high


class _Shared(NamedTuple):
    """The fields that many headers share: all but name, size, time and checksum."""

    traits: Traits
    has_data: bool
    prefix: bytes


@lru_cache(maxsize=1024)
def _shared(area: bytes) -> _Shared:
    """Decode *area*: the header from mode to gid, then from the type flag to its end."""
    flag, linkname, magic, fields = area[24:25], area[25:125], area[125:133], area[133:]
    kind = _TYPES.get(flag, MemberType.OTHER)
    known = magic.startswith(b"ustar")  # v7 has none of the fields that follow
    is_device = known and kind in (MemberType.CHAR, MemberType.BLOCK)
    traits = Traits(
        type=kind,
        mode=number(area[:8]) & 0o7777,
        uid=owner(number(area[8:16])),
        gid=owner(number(area[16:24])),
        linkname=text(linkname) if kind.is_link else b"",
        uname=text(fields[:32]) if known else b"",
        gname=text(fields[32:64]) if known else b"",
        devmajor=device(number(fields[64:72])) if is_device else 0,
        devminor=device(number(fields[72:80])) if is_device else 0,
        headers=BLOCK_SIZE,
    )
    return _Shared(traits, kind.has_data, _prefix(magic, fields[80:]))


def _prefix(magic: bytes, area: bytes) -> bytes:
    """Return the prefix field of *area*, which begins with it, or nothing if the dialect has none.

    GNU headers have a time there, but Go before 1.8, and thus Docker before 1.13, sometimes wrote a
    prefix under GNU's magic. A prefix is not a number.
    """
    if magic.startswith(b"ustar\0"):
        return text(area[:155])
    if not magic.startswith(b"ustar ") or area[0] & 0x80 or not area[:12].strip(b" \0" + _OCTAL):
        return b""
    return text(area[:155])
