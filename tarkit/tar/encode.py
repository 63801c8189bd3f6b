"""Members to headers: ustar where it fits, else pax records for what does not.

The same member always gives the same bytes. Names are written as the bytes they are; where one
that needs a record is not UTF-8, ``hdrcharset`` says so, as POSIX asks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tarkit.errors import LimitExceededError, MalformedError, UnsupportedError
from tarkit.tar import padding, pax, sparse
from tarkit.tar.header import MAX_SIZE, byte_sum
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown
from tarkit.tar.scan import MAX_EXTENSION

_NAME_SIZE = 100
_PREFIX_SIZE = 155
_OWNER_SIZE = 32
_NUMBER_LIMIT = 8**7
_SIZE_LIMIT = 8**11
_TIME_LIMIT = _SIZE_LIMIT * 1_000_000_000
_TEXT = (b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name")


def stored_size(member: Member) -> int:
    """Bytes of data that a writer expects for *member*: its segments' where it is sparse."""
    if not member.type.has_data:
        return 0
    if member.sparse is not None:
        return sum(segment.length for segment in member.sparse)
    return member.size


def encode(member: Member) -> bytes:
    """Everything of *member* in front of its data: pax header, ustar header, and a sparse one's map.

    Raises :class:`MalformedError` for what no tar can hold, :class:`LimitExceededError` for more
    records than a reader would take, and :class:`UnsupportedError` for a type nobody knows.
    """
    if member.type is MemberType.FILE and member.name.endswith(b"/"):
        raise MalformedError(
            f"a file named {shown(member.name[:255])}: readers take it for a directory"
        )
    if fits_ustar(member, member.name):
        return _pack(
            pax.text(member.name),
            member.size if member.type is MemberType.FILE else 0,
            member.mtime_ns // 1_000_000_000,
            _shared(
                member.mode, member.uid, member.gid, member.type.value,
                member.linkname if member.type.is_link else b"", member.uname, member.gname,
                member.devmajor, member.devminor, b"",
            ),
        )  # fmt: skip
    if member.type is MemberType.OTHER:
        raise UnsupportedError("a member of an unknown type cannot be written")
    size = stored_size(member)
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"a size of {size} bytes")
    records = {pax.xattr_key(name): value for name, value in member.xattrs.items()}
    sparse_map = b""
    if member.sparse is not None:
        sparse_map = sparse.format_map(
            sparse.checked(member.sparse, member.size, size), member.size
        )
        records |= _sparse_records(member)
    block = _block(member, size + len(sparse_map), records)
    return _extended_header(member, records) + block + sparse_map


def fits_ustar(member: Member, name: bytes) -> bool:
    """Whether one header block holds all of *member* under that *name*, as is so for nearly every one."""
    return (
        0 < len(name) <= _NAME_SIZE
        and len(member.linkname) <= _NAME_SIZE
        and not member.xattrs
        and member.sparse is None
        and member.type is not MemberType.OTHER
        and 0 <= member.size < _SIZE_LIMIT
        and 0 <= member.mtime_ns < _TIME_LIMIT
        and not member.mtime_ns % 1_000_000_000
        and 0 <= member.uid < _NUMBER_LIMIT
        and 0 <= member.gid < _NUMBER_LIMIT
        and 0 <= member.devmajor < _NUMBER_LIMIT
        and 0 <= member.devminor < _NUMBER_LIMIT
        and len(member.uname) <= _OWNER_SIZE
        and len(member.gname) <= _OWNER_SIZE
    )


def with_size(block: bytes, size: int) -> bytes:
    """Header *block* with another size: octal below 8 GiB, GNU base-256 from there on."""
    octal = size < _SIZE_LIMIT
    field = b"%011o\0" % size if octal else b"\x80" + size.to_bytes(11, "big")
    return _summed(block[:124] + field + block[136:])


def _block(member: Member, size: int, records: dict[bytes, bytes]) -> bytes:
    """The ustar header; what does not fit it goes to *records*."""
    prefix, name = _split(member, records)
    seconds, fraction = divmod(member.mtime_ns, 1_000_000_000)
    if fraction or not 0 <= seconds < _SIZE_LIMIT:
        records[b"mtime"] = pax.format_time(member.mtime_ns)
        seconds = seconds if 0 <= seconds < _SIZE_LIMIT else 0
    link = member.linkname if member.type.is_link else b""
    shared = _shared(
        member.mode,
        _number(member.uid, _NUMBER_LIMIT, b"uid", records),
        _number(member.gid, _NUMBER_LIMIT, b"gid", records),
        member.type.value,
        _text(link, _NAME_SIZE, b"linkpath", records),
        _text(member.uname, _OWNER_SIZE, b"uname", records),
        _text(member.gname, _OWNER_SIZE, b"gname", records),
        _number(member.devmajor, _NUMBER_LIMIT, b"SCHILY.devmajor", records),
        _number(member.devminor, _NUMBER_LIMIT, b"SCHILY.devminor", records),
        prefix,
    )
    return _pack(name, _number(size, _SIZE_LIMIT, b"size", records), seconds, shared)


class _Shared(NamedTuple):
    """What many headers have in common: all but name, size, time and checksum."""

    sum: int
    before: bytes
    behind: bytes


@lru_cache(maxsize=1024)
def _shared(
    mode: int,
    uid: int,
    gid: int,
    flag: bytes,
    link: bytes,
    uname: bytes,
    gname: bytes,
    devmajor: int,
    devminor: int,
    prefix: bytes,
) -> _Shared:
    before = b"%07o\0%07o\0%07o\0" % (mode & 0o7777, uid, gid)
    fields = (
        flag,
        pax.text(link).ljust(_NAME_SIZE, b"\0"),
        b"ustar\x0000",
        pax.text(uname).ljust(_OWNER_SIZE, b"\0"),
        pax.text(gname).ljust(_OWNER_SIZE, b"\0"),
        b"%07o\0%07o\0" % (devmajor, devminor),
        prefix.ljust(_PREFIX_SIZE, b"\0"),
        bytes(12),
    )
    behind = b"".join(fields)
    return _Shared(sum(before) + 8 * 32 + sum(behind), before, behind)


def _pack(name: bytes, size: int, seconds: int, shared: _Shared) -> bytes:
    numbers = b"%011o\0%011o\0" % (size, seconds)
    total = shared.sum + byte_sum(name) + byte_sum(numbers)
    name = name.ljust(_NAME_SIZE, b"\0")
    return b"%b%b%b%06o\0 %b" % (name, shared.before, numbers, total, shared.behind)


def _summed(block: bytes) -> bytes:
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def _number(value: int, limit: int, key: bytes, records: dict[bytes, bytes]) -> int:
    if 0 <= value < limit:
        return value
    records[key] = b"%d" % value
    return 0


def _text(value: bytes, size: int, key: bytes, records: dict[bytes, bytes]) -> bytes:
    if len(value) > size:
        records[key] = value
    return pax.text(value)[:size]


def _split(member: Member, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Prefix and name for the header, which a slash joins again."""
    name = pax.text(member.name)
    if not name:
        raise MalformedError("a member without a name")
    if member.sparse is not None:  # what a reader that knows no sparse files will call it
        return b"GNUSparseFile.0", _base(name)
    if len(name) <= _NAME_SIZE:
        return b"", name
    slash = name.rfind(b"/", 1, min(_PREFIX_SIZE + 1, len(name) - 1))
    if slash > 0 and len(name) - slash - 1 <= _NAME_SIZE:
        return name[:slash], name[slash + 1 :]
    records[b"path"] = name
    return b"", name[:_NAME_SIZE]


def _base(name: bytes) -> bytes:
    return name.rstrip(b"/").rpartition(b"/")[2][: _NAME_SIZE - 20]


def _sparse_records(member: Member) -> dict[bytes, bytes]:
    return {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": member.name,
        b"GNU.sparse.realsize": b"%d" % member.size,
    }


def _extended_header(member: Member, records: dict[bytes, bytes]) -> bytes:
    if not records:
        return b""
    if any(not _is_utf8(records[key]) for key in _TEXT if key in records):
        records[b"hdrcharset"] = b"BINARY"
    content = pax.format_records(records)
    if len(content) > MAX_EXTENSION:
        raise LimitExceededError(f"an extended header of {len(content)} bytes", limit=MAX_EXTENSION)
    header = Member(b"PaxHeaders.0/" + _base(member.name), size=len(content))
    block = _block(header, header.size, {})
    flagged = _summed(block[:156] + b"x" + block[157:])
    return flagged + content + bytes(padding(len(content)))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
