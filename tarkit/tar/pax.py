"""pax extended header records (POSIX.1-2017, "pax Extended Header"), read and written."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.patterns import lazy_pattern
from tarkit.tar.header import DISTINCT, MAX_SIZE, device, owner
from tarkit.tar.member import Member

SPARSE = b"GNU.sparse."
"""Prefix of the keywords that describe a sparse member (GNU tar manual, "Storing Sparse Files")."""

XATTR = b"SCHILY.xattr."
_LIBARCHIVE_XATTR = b"LIBARCHIVE.xattr."
XATTRS = (XATTR, _LIBARCHIVE_XATTR)
"""Prefixes of the keywords that name an extended attribute."""

# A record is "<length> <keyword>=<value>\n", and the decimal length counts the whole record
_HEAD = lazy_pattern(rb"0*+([0-9]{1,7}) ([^=\0]*)=?")
_LONG_TIME = len(b"-" + 20 * b"9" + b"." + 9 * b"9")
_NEWLINE, _EQUALS = b"\n="
_DIGITS = rb"([+-]?)(?=[0-9])0*+([0-9]{0,20})"
_INTEGER = lazy_pattern(_DIGITS)
_TIME = lazy_pattern(_DIGITS + rb"(?:\.([0-9]{0,9})[0-9]*)?")
_TINY_TIME = lazy_pattern(rb"-?[0-9](\.[0-9]+)?e-[0-9]{2}")  # Python's tarfile, below 0.1 ms
_SHORT = 48  # bytes of the largest block that is cached
_ESCAPE = lazy_pattern(rb"%([0-9A-Fa-f]{2})")
_GNU_ESCAPE = lazy_pattern(rb"%(3D|25)")  # only GNU tar escapes these, and only these


class PaxRecord(NamedTuple):
    """A keyword and its value."""

    key: bytes
    value: bytes


class Extended(NamedTuple):
    """An extended header: its ``records`` in order, and the last value of each keyword.

    ``sparse`` is true if any record describes a sparse member.
    """

    records: Sequence[PaxRecord]
    values: Mapping[bytes, bytes]
    sparse: bool


def parse(block: bytes) -> Extended:
    """Decode the extended header *block*; raises the errors of :func:`parse_records`."""
    return _parse_short(block) if len(block) <= _SHORT else _parse(block)


def _parse(block: bytes) -> Extended:
    records = parse_records(block)
    sparse = any(record.key.startswith(SPARSE) for record in records)
    return Extended(tuple(records), MappingProxyType(dict(records)), sparse)


_parse_short = lru_cache(DISTINCT)(_parse)  # most blocks hold a time alone, and repeat


MAX_RECORDS = 50_000
"""Most records of an extended header: more than the longest sparse map in pax format 0.0 needs."""


def parse_records(block: bytes) -> list[PaxRecord]:
    """Return the records of an extended header in order.

    Raises :class:`MalformedError`, and :class:`LimitExceededError` beyond ``MAX_RECORDS``.
    """
    records: list[PaxRecord] = []
    at, size = 0, len(block)
    while at < size:
        head = _HEAD.match(block, at)
        end = at + int(head[1]) if head else 0
        if not head or not at < end <= size or block[end - 1] != _NEWLINE:
            raise MalformedError("wrong length of a pax record")
        value, key = head.end(), head[2]
        if not key or value >= end or block[value - 1] != _EQUALS:
            raise MalformedError("pax record without a keyword")
        if len(records) == MAX_RECORDS:
            raise LimitExceededError(
                f"extended header of more than {MAX_RECORDS} records", limit=MAX_RECORDS
            )
        records.append(PaxRecord(key, block[value : end - 1]))
        at = end
    return records


def format_record(record: PaxRecord) -> bytes:
    """Return *record* after its length, which includes its own digits."""
    body = b" %s=%s\n" % record
    # the digits may make the length one digit longer; the second round is exact
    size = len(body) + len(b"%d" % len(body))
    size = len(body) + len(b"%d" % size)
    return b"%d%s" % (size, body)


def apply(member: Member, values: Mapping[bytes, bytes]) -> None:
    """Override fields of *member*, fresh from its header, with *values*; its name stays.

    An empty value cancels a record (POSIX), except that an extended attribute may be empty.
    ``hdrcharset`` is ignored, as names stay bytes.
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
    """Return an extended header of *values*, sorted by keyword."""
    return b"".join(format_record(PaxRecord(key, values[key])) for key in sorted(values))


def format_time(nanoseconds: int) -> bytes:
    """Return a time in seconds with all its decimals, but at least one: mksquashfs needs it."""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    sign = b"-" if nanoseconds < 0 else b""
    text = (b"%s%d.%09d" % (sign, seconds, fraction)).rstrip(b"0")
    return text + b"0" if text.endswith(b".") else text


def xattr_key(name: bytes) -> bytes:
    """Return the keyword of an extended attribute, with ``=`` and ``%`` escaped as in GNU tar."""
    if not name or b"\0" in name:
        raise MalformedError(f"invalid name of an extended attribute: {name[:255]!r}")
    return XATTR + name.replace(b"%", b"%25").replace(b"=", b"%3D")


def text(value: bytes) -> bytes:
    """Return *value* unchanged; raises :class:`MalformedError` if it contains a NUL."""
    if b"\0" in value:
        raise MalformedError("pax name contains a NUL")
    return value


def integer(value: bytes) -> int:
    """Decode a decimal number; raises :class:`MalformedError`."""
    parts = _INTEGER.fullmatch(value)
    if parts is None:
        raise MalformedError(f"malformed pax number: {value[:40]!r}")
    return int(parts[1] + (parts[2] or b"0"))


def length(value: bytes) -> int:
    """Decode a decimal size or offset in bytes; raises :class:`MalformedError`."""
    size = integer(value)
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"size out of range: {size} bytes")
    return size


def _owner(value: bytes) -> int:
    return owner(integer(value))


def _device(value: bytes) -> int:
    return device(integer(value))


def _time(value: bytes) -> int:
    if len(value) > _LONG_TIME:  # keeps the keys of the cache short
        value = b"%s%s.%s" % _time_parts(value)
    return _nanoseconds(value)


@lru_cache(DISTINCT)
def _nanoseconds(value: bytes) -> int:
    if _TINY_TIME.fullmatch(value):
        from decimal import Decimal

        return int(Decimal(value.decode("ascii")) * 1_000_000_000)
    sign, seconds, fraction = _time_parts(value)
    if int(seconds) > MAX_SIZE:
        raise MalformedError(f"malformed pax time: {value[:40]!r}")
    nanoseconds = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, b"0"))
    return -nanoseconds if sign == b"-" else nanoseconds


def _time_parts(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Return sign, seconds and up to nine decimals of *value*, without leading zeros."""
    parts = _TIME.fullmatch(value)
    if parts is None:
        raise MalformedError(f"malformed pax time: {value[:40]!r}")
    return parts[1], parts[2] or b"0", parts[3] or b""


def _xattrs(values: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return extended attributes; SCHILY's spelling wins over libarchive's, as it is not encoded."""
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
    plain = name
    if b"%" in name:
        plain = escapes.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), name)
    if not plain or b"\0" in plain:
        raise MalformedError(f"invalid name of an extended attribute: {name[:255]!r}")
    return plain


def _base64(value: bytes) -> bytes:
    try:
        return binascii.a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True)
    except binascii.Error:
        raise MalformedError("malformed base64 in an extended attribute") from None


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
