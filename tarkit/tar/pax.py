"""pax extended header records (POSIX.1-2017, "pax Extended Header"), read and written."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from tarkit.errors import MalformedError
from tarkit.tar.header import DISTINCT, MAX_SIZE, device, owner
from tarkit.tar.member import Member

SPARSE = b"GNU.sparse."
"""How the keywords begin that describe a sparse member."""

XATTR = b"SCHILY.xattr."
_LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
XATTRS = (XATTR, _LIBARCHIVE_XATTR)
"""How the keywords begin that name an extended attribute."""


_HEAD = re.compile(rb"0*+([0-9]{1,7}) ([^=\0]*)=?").match
_LONG_TIME = len(b"-" + 20 * b"9" + b"." + 9 * b"9")
_NEWLINE, _EQUALS = b"\n="
_INTEGER = re.compile(rb"([+-]?)(?=[0-9])0*+([0-9]{0,20})")
_TIME = re.compile(_INTEGER.pattern + rb"(?:\.([0-9]{0,9})[0-9]*)?")
_TINY_TIME = re.compile(rb"-?[0-9](\.[0-9]+)?e-[0-9]{2}")  # Python's tarfile, below 0.1 ms
_SHORT = 48
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_GNU_ESCAPE = re.compile(rb"%(3D|25)")  # what GNU tar escapes, and nobody else


class Record(NamedTuple):
    """One keyword and its value."""

    key: bytes
    value: bytes


class Extended(NamedTuple):
    """An extended header: its ``records`` in order, and their ``values`` by keyword, the last of each.

    ``sparse`` says whether any of them is about a sparse member.
    """

    records: Sequence[Record]
    values: Mapping[bytes, bytes]
    sparse: bool


def parse(block: bytes) -> Extended:
    """What the extended header *block* holds; raises as :func:`parse_records`."""
    return _parse_short(block) if len(block) <= _SHORT else _parse(block)


def _parse(block: bytes) -> Extended:
    records = parse_records(block)
    sparse = any(record.key.startswith(SPARSE) for record in records)
    return Extended(tuple(records), MappingProxyType(dict(records)), sparse)


_parse_short = lru_cache(DISTINCT)(_parse)  # a time and nothing else, as most are, is one of few


def parse_records(block: bytes) -> list[Record]:
    """The records of one extended header, in order; raises :class:`MalformedError`."""
    records = []
    at, size = 0, len(block)
    while at < size:
        head = _HEAD(block, at)
        end = at + int(head[1]) if head else 0
        if not head or not at < end <= size or block[end - 1] != _NEWLINE:
            raise MalformedError("a pax record's length is wrong")
        value, key = head.end(), head[2]
        if not key or value >= end or block[value - 1] != _EQUALS:
            raise MalformedError("a pax record without a keyword")
        records.append(Record(key, block[value : end - 1]))
        at = end
    return records


def format_record(record: Record) -> bytes:
    """*record* behind its own length, which counts its own digits."""
    body = b" %s=%s\n" % record
    size = len(body) + len(b"%d" % len(body))
    size = len(body) + len(b"%d" % size)
    return b"%d%s" % (size, body)


def apply(member: Member, values: Mapping[bytes, bytes]) -> None:
    """Change what *values* say otherwise than *member*'s header does; its name is not looked at.

    An empty value takes a record back (POSIX), except that an extended attribute may be empty.
    The character set (``hdrcharset``) plays no part: names stay bytes.
    """
    xattrs = False
    for key, value in values.items():
        if field := _FIELDS.get(key):
            if value:
                setattr(member, field[0], field[1](value))
        elif key.startswith(XATTRS):
            xattrs = True
    if (size := values.get(b"size")) and member.type.has_data:
        member.size = member.stored = length(size)
    if member.linkname and not member.type.is_link:
        member.linkname = b""
    if xattrs:
        member.xattrs = _xattrs(values)


def format_records(values: Mapping[bytes, bytes]) -> bytes:
    """An extended header of *values*, sorted by keyword."""
    return b"".join(format_record(Record(key, values[key])) for key in sorted(values))


def format_time(nanoseconds: int) -> bytes:
    """A time in seconds, with as many decimals as it takes, and one at least: mksquashfs asks for that."""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    sign = b"-" if nanoseconds < 0 else b""
    text = (b"%s%d.%09d" % (sign, seconds, fraction)).rstrip(b"0")
    return text + b"0" if text.endswith(b".") else text


def xattr_key(name: bytes) -> bytes:
    """The keyword of an extended attribute; ``=`` and ``%`` are escaped as GNU tar does it."""
    if not name or b"\0" in name:
        raise MalformedError(f"an extended attribute named {name[:255]!r}")
    return XATTR + name.replace(b"%", b"%25").replace(b"=", b"%3D")


def text(value: bytes) -> bytes:
    """A name as it is; raises :class:`MalformedError` for a NUL, which no name can hold."""
    if b"\0" in value:
        raise MalformedError("a pax name holds a NUL")
    return value


def integer(value: bytes) -> int:
    """A decimal number."""
    parts = _INTEGER.fullmatch(value)
    if parts is None:
        raise MalformedError(f"a pax number reads {value[:40]!r}")
    return int(parts[1] + (parts[2] or b"0"))


def length(value: bytes) -> int:
    """A decimal size or offset in bytes."""
    size = integer(value)
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"a size of {size} bytes")
    return size


def _owner(value: bytes) -> int:
    return owner(integer(value))


def _device(value: bytes) -> int:
    return device(integer(value))


def _time(value: bytes) -> int:
    if len(value) > _LONG_TIME:  # what is remembered must not be of any length
        value = b"%s%s.%s" % _time_parts(value)
    return _nanoseconds(value)


@lru_cache(DISTINCT)
def _nanoseconds(value: bytes) -> int:
    if _TINY_TIME.fullmatch(value):
        from decimal import Decimal

        return int(Decimal(value.decode("ascii")) * 1_000_000_000)
    sign, seconds, fraction = _time_parts(value)
    if int(seconds) > MAX_SIZE:
        raise MalformedError(f"a pax time reads {value[:40]!r}")
    nanoseconds = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))
    return -nanoseconds if sign == b"-" else nanoseconds


def _time_parts(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Return sign, seconds and up to nine decimals of *value*, without leading zeros."""
    parts = _TIME.fullmatch(value)
    if parts is None:
        raise MalformedError(f"a pax time reads {value[:40]!r}")
    return parts[1], parts[2] or b"0", parts[3] or b""


def _xattrs(values: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Extended attributes; where both spellings are there, SCHILY's wins as it is not encoded."""
    found = {}
    for key, value in values.items():
        if key.startswith(_LIBARCHIVE_XATTR):
            name = _unescape(_ESCAPE, key[len(_LIBARCHIVE_XATTR) :])
            found[name] = _base64(value)
    for key, value in values.items():
        if key.startswith(XATTR):
            found[_unescape(_GNU_ESCAPE, key[len(XATTR) :])] = value
    return found


def _unescape(escapes: re.Pattern[bytes], name: bytes) -> bytes:
    plain = escapes.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), name)
    if not plain or b"\0" in plain:
        raise MalformedError(f"an extended attribute named {name[:255]!r}")
    return plain


def _base64(value: bytes) -> bytes:
    try:
        return binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True)
    except binascii.Error:
        raise MalformedError("an extended attribute is not base64") from None


_FIELDS: dict[bytes, tuple[str, Callable[[bytes], Any]]] = {
    b"linkpath": ("linkname", text),
    b"uname": ("uname", text),
    b"gname": ("gname", text),
    b"uid": ("uid", _owner),
    b"gid": ("gid", _owner),
    b"mtime": ("mtime_ns", _time),
    b"SCHILY.devmajor": ("devmajor", _device),
    b"SCHILY.devminor": ("devminor", _device),
}
