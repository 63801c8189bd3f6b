"""The parts of a listing that are not columns, as JSON: traits, and members kept as objects.

Bytes are text in Latin-1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tarkit.tar import sparse
from tarkit.tar.member import Member, MemberType, Segment, Traits
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.tar.listing import Listing

_CODE = "latin-1"
_LIMITS = (0o10000, 1 << 32, 1 << 32)  # of mode, uid, gid
_DEVICE = 1 << 32
_LARGEST = 1 << 63


def pack_traits(traits: Sequence[Traits]) -> bytes:
    """Return *traits* as a document."""
    rows = [
        (
            each.type.value.decode(_CODE), each.mode, each.uid, each.gid,
            *(text.decode(_CODE) for text in (each.linkname, each.uname, each.gname)),
            each.devmajor, each.devminor, each.headers,
        )
        for each in traits
    ]  # fmt: skip
    return json.dumps(rows, separators=(",", ":")).encode("ascii")


def unpack_traits(document: bytes) -> list[Traits]:
    """Return the traits of a *document*; raises ``ValueError`` or ``TypeError``."""
    return [_traits(*row) for row in json.loads(document)]


def _traits(kind: str, *rest: Any) -> Traits:
    mode, uid, gid, linkname, uname, gname, major, minor, headers = rest
    numbers = zip((mode, uid, gid), _LIMITS, strict=True)
    for value, limit in (*numbers, (major, _DEVICE), (minor, _DEVICE), (headers, _LARGEST)):
        _number(value, limit)
    return Traits(
        MemberType(_raw(kind)), mode, uid, gid,
        _raw(linkname), _raw(uname), _raw(gname), major, minor, headers,
    )  # fmt: skip


def pack_rare(members: Mapping[int, Member]) -> bytes:
    """Return *members* as a document, without the fields that their traits have."""
    rows = [
        (
            position, each.name.decode(_CODE), each.size, each.mtime_ns, each.offset,
            each.data_offset, each.stored, each.sparse,
            {name.decode(_CODE): value.decode(_CODE) for name, value in each.xattrs.items()},
        )
        for position, each in members.items()
    ]  # fmt: skip
    return json.dumps(rows, separators=(",", ":")).encode("ascii")


def unpack_rare(document: bytes, listing: Listing) -> dict[int, Member]:
    """Return the members of a *document*, which belong to *listing*, by position.

    Raises ``ValueError``, ``TypeError`` and the errors of sparse maps.
    """
    return dict(_member(listing, *row) for row in json.loads(document))


def _member(listing: Listing, position: int, name: str, *rest: Any) -> tuple[int, Member]:
    size, mtime_ns, offset, data_offset, stored, segments, xattrs = rest
    _number(position, len(listing))
    for value in (size, offset, data_offset, stored):
        _number(value, _LARGEST)
    if type(mtime_ns) is not int:
        raise TypeError("time")
    if segments is not None:
        pairs = [Segment(_number(start, _LARGEST), _number(n, _LARGEST)) for start, n in segments]
        segments = sparse.checked(pairs, size, stored)
    member = replace(
        listing.nameless(position),
        name=_raw(name),
        size=size,
        mtime_ns=mtime_ns,
        offset=offset,
        data_offset=data_offset,
        stored=stored,
        sparse=segments,
        xattrs={_raw(key): _raw(value) for key, value in dict(xattrs).items()},
    )
    return position, member


def _number(value: Any, limit: int) -> int:
    if type(value) is not int or not 0 <= value < limit:
        raise ValueError("number")
    return value


def _raw(text: Any) -> bytes:
    if type(text) is not str:
        raise TypeError("text")
    return text.encode(_CODE)
