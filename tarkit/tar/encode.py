"""Headers of members: one ustar block if everything fits, with pax records for the rest.

The formats are those of POSIX.1-2017 (pax, "ustar Interchange Format" and "pax Extended Header").
The same member always gives the same bytes. Names are written as raw bytes; if a name in a record
is not UTF-8, an ``hdrcharset`` record announces binary names, as POSIX requires.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tarkit.errors import LimitExceededError, MalformedError, UnsupportedError
from tarkit.tar import padding, pax, sparse
from tarkit.tar.header import CHECKSUM, CHECKSUM_BLANKS, MAX_SIZE, SIZE, TYPE_FLAG, byte_sum
from tarkit.tar.member import Member, MemberType, Traits
from tarkit.tar.names import shown
from tarkit.tar.scan import MAX_EXTENSION

# Field sizes in bytes; tarkit.tar.header lists their offsets
_NAME_SIZE = 100  # also of the link name
_PREFIX_SIZE = 155
_OWNER_SIZE = 32
_PADDING_SIZE = 12
_NUMBER_LIMIT = 8**7  # seven octal digits and a NUL: uid, gid, devmajor, devminor
_SIZE_LIMIT = 8**11  # eleven octal digits and a NUL: size, mtime
_TIME_LIMIT = _SIZE_LIMIT * 1_000_000_000  # in nanoseconds
_MAGIC_AND_VERSION = b"ustar\x0000"
_PLAIN_TYPES = (MemberType.FILE, MemberType.DIRECTORY)
_TEXT = (b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name")


def stored_size(member: Member) -> int:
    """Return the size of the data of *member* in bytes; holes of a sparse member do not count."""
    if not member.type.has_data:
        return 0
    if member.sparse is not None:
        return sum(segment.length for segment in member.sparse)
    return member.size


def encode(member: Member) -> bytes:
    """Return everything before the data of *member*: pax header, ustar header and sparse map.

    Raises :class:`MalformedError` if no tar can hold the member, :class:`LimitExceededError` if its
    records exceed ``MAX_EXTENSION``, and :class:`UnsupportedError` if its type is unknown.
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
        raise UnsupportedError("cannot write a member of an unknown type")
    size = stored_size(member)
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"size out of range: {size} bytes")
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
    """Return True if *member*, called *name*, fits one header block, as nearly every member does."""
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


def fits_plainly(traits: Traits, name: bytes, size: int, mtime_ns: int) -> bool:
    """Return True if a file or directory of these fields fits one block of :func:`encode_plain`."""
    return (
        traits.type in _PLAIN_TYPES
        and 0 < len(name) <= _NAME_SIZE
        and size < _SIZE_LIMIT
        and 0 <= mtime_ns < _TIME_LIMIT
        and not mtime_ns % 1_000_000_000
        and traits.uid < _NUMBER_LIMIT
        and traits.gid < _NUMBER_LIMIT
    )


def encode_plain(traits: Traits, name: bytes, size: int, mtime_ns: int) -> bytes:
    """Return the header of a file or directory as :func:`encode` does, but without names of owners."""
    flag = b"0" if traits.type is MemberType.FILE else b"5"
    shared = _shared(traits.mode, traits.uid, traits.gid, flag, b"", b"", b"", 0, 0, b"")
    return _pack(name, size if flag == b"0" else 0, mtime_ns // 1_000_000_000, shared)


def with_size(block: bytes, size: int) -> bytes:
    """Return header *block* with another size: octal below 8 GiB, else GNU base-256."""
    octal = size < _SIZE_LIMIT
    field = b"%011o\0" % size if octal else b"\x80" + size.to_bytes(11, "big")
    return _summed(block[: SIZE.start] + field + block[SIZE.stop :])


def _block(member: Member, size: int, records: dict[bytes, bytes]) -> bytes:
    """Return the ustar header; add values that do not fit to *records*."""
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
    """The fields that many headers share: all but name, size, time and checksum.

    ``before`` is mode to gid, ``behind`` the type flag to the end of the block, and ``sum`` the
    checksum of both and of the blank checksum field.
    """

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
        _MAGIC_AND_VERSION,
        pax.text(uname).ljust(_OWNER_SIZE, b"\0"),
        pax.text(gname).ljust(_OWNER_SIZE, b"\0"),
        b"%07o\0%07o\0" % (devmajor, devminor),
        prefix.ljust(_PREFIX_SIZE, b"\0"),
        bytes(_PADDING_SIZE),
    )
    behind = b"".join(fields)
    return _Shared(sum(before) + CHECKSUM_BLANKS + sum(behind), before, behind)


def _pack(name: bytes, size: int, seconds: int, shared: _Shared) -> bytes:
    """Return the header block of these fields, with its checksum."""
    numbers = b"%011o\0%011o\0" % (size, seconds)
    total = shared.sum + byte_sum(name) + byte_sum(numbers)
    name = name.ljust(_NAME_SIZE, b"\0")
    return b"%b%b%b%06o\0 %b" % (name, shared.before, numbers, total, shared.behind)


def _summed(block: bytes) -> bytes:
    """Return header *block* with its checksum: six octal digits, a NUL and a space."""
    before, behind = block[: CHECKSUM.start], block[CHECKSUM.stop :]
    return before + b"%06o\0 " % (sum(before) + CHECKSUM_BLANKS + sum(behind)) + behind


def _number(value: int, limit: int, key: bytes, records: dict[bytes, bytes]) -> int:
    """Return *value* for a field below *limit*, or zero and add a record *key*."""
    if 0 <= value < limit:
        return value
    records[key] = b"%d" % value
    return 0


def _text(value: bytes, size: int, key: bytes, records: dict[bytes, bytes]) -> bytes:
    """Return *value* for a field of *size* bytes, cut if too long; the record *key* then holds it."""
    if len(value) > size:
        records[key] = value
    return pax.text(value)[:size]


def _split(member: Member, records: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return prefix and name for the header; readers join them with a slash."""
    name = pax.text(member.name)
    if not name:
        raise MalformedError("member without a name")
    if member.sparse is not None:
        # readers without support for sparse files extract the data to this name
        return b"GNUSparseFile.0", _base(name)
    if len(name) <= _NAME_SIZE:
        return b"", name
    # the last slash for which both parts fit their fields and neither is empty
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
        raise LimitExceededError(f"extended header of {len(content)} bytes", limit=MAX_EXTENSION)
    header = Member(b"PaxHeaders.0/" + _base(member.name), size=len(content))
    block = _block(header, header.size, {})
    flagged = _summed(block[:TYPE_FLAG] + b"x" + block[TYPE_FLAG + 1 :])
    return flagged + content + bytes(padding(len(content)))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
