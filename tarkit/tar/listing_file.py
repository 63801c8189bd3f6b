"""A listing as a file: the index of a layer, read instead of the layer's headers.

The file is a cache. It starts with a magic number, a version, the diff ID of the layer and the
sizes of its sections, and ends with a SHA-256 digest of everything before. Columns are
little-endian and compressed, 10 to 25 bytes per member together. Any unexpected content raises
:class:`MalformedError`; the caller then parses the layer again. A file is not trusted, even if its
digest is right, because anybody can compute one.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from itertools import accumulate, chain, compress
from operator import sub
from typing import Any

from tarkit.errors import MalformedError, TarkitError
from tarkit.image.digest import Digest
from tarkit.streams.deflate import deflate, inflate
from tarkit.tar.listing import Listing
from tarkit.tar.listing_rare import pack_rare, pack_traits, unpack_rare, unpack_traits
from tarkit.tar.member import MemberType

MAGIC = b"TKLIST\r\n"
VERSION = 1
MAX_MEMBERS = 8_000_000

_HEAD = struct.Struct("<8sHHI")  # magic, version, length of the diff ID, number of members
_SECTION = struct.Struct("<II")  # size compressed, and not compressed
_SECTIONS = 9
_DIGEST_SIZE = 32
_MAX_DOCUMENT = 64 << 20
_SWAPPED = sys.byteorder == "big"


def pack(listing: Listing, diff_id: Digest) -> bytes:
    """Return the file of *listing*, that of the layer *diff_id*.

    :func:`unpack` refuses it if names have more than 256 bytes on average, or if the members with
    attributes of their own take more than 64 MiB.
    """
    runs = list(listing.runs())
    steps = array("q", map(sub, listing.blocks, chain((0,), listing.blocks)))
    counts = array("I", [run.joined.count(b"\0") + 1 for run in runs])
    sections = (
        pack_traits(listing.traits),
        _bytes(listing.kinds),
        _bytes(listing.sizes),
        _bytes(listing.times),
        _bytes(steps),
        b"\0".join(run.parent for run in runs),
        _bytes(counts),
        b"\0".join(run.joined for run in runs),
        pack_rare(listing.rare),
    )
    packed = [deflate(section) for section in sections]
    name = str(diff_id).encode("ascii")
    head = _HEAD.pack(MAGIC, VERSION, len(name), len(listing)) + name
    sizes = zip(map(len, packed), map(len, sections), strict=True)
    body = b"".join([head, *(_SECTION.pack(*pair) for pair in sizes), *packed])
    return body + hashlib.sha256(body).digest()


def unpack(data: bytes, diff_id: Digest) -> Listing:
    """Return the listing in the file *data*, which must be that of the layer *diff_id*.

    Raises :class:`MalformedError` for any other file. Memory is bounded by the size of the file
    and ``MAX_MEMBERS``.
    """
    try:
        count, sections = _sections(data, str(diff_id).encode("ascii"))
        return _listing(count, sections)
    except (TarkitError, ValueError, TypeError, OverflowError, RecursionError, struct.error):
        raise MalformedError("not the index of this layer, or damaged") from None


def _sections(data: bytes, diff_id: bytes) -> tuple[int, list[bytes]]:
    body = memoryview(data)[:-_DIGEST_SIZE]
    if hashlib.sha256(body).digest() != data[-_DIGEST_SIZE:]:
        raise ValueError("checksum")
    magic, version, length, count = _HEAD.unpack_from(body)
    at = _HEAD.size + length
    if (magic, version, bytes(body[_HEAD.size : at])) != (
        MAGIC,
        VERSION,
        diff_id,
    ) or count > MAX_MEMBERS:
        raise ValueError("header")
    table = body[at : at + _SECTIONS * _SECTION.size]
    at += len(table)
    sections = []
    for (packed, size), most in zip(_SECTION.iter_unpack(table), _limits(count), strict=True):
        if size > most:
            raise ValueError("too large")
        sections.append(inflate(body[at : at + packed], size))
        at += packed
    if at != len(body):
        raise ValueError("sections")
    return count, sections


def _limits(count: int) -> tuple[int, ...]:
    """Return the largest sizes of the sections of *count* members."""
    numbers, names = 8 * count, (1 << 20) + 256 * count
    columns = (numbers // 2, numbers, numbers, numbers)
    return (_MAX_DOCUMENT, *columns, names, numbers // 2, names, _MAX_DOCUMENT)


def _listing(count: int, sections: list[bytes]) -> Listing:
    traits, kinds, sizes, times, steps, parents, counts, joined, rare = sections
    listing = Listing()
    listing.traits = unpack_traits(traits)
    listing.kinds, listing.sizes = _column("I", kinds, count), _column("q", sizes, count)
    listing.times, blocks = _column("q", times, count), _column("q", steps, count)
    listing.blocks = array("q", accumulate(blocks))
    if count and (
        max(listing.kinds) >= len(listing.traits) or min(listing.sizes) < 0 or min(blocks) < 0
    ):
        raise ValueError("columns")
    names = joined.split(b"\0") if count else []
    of_runs = _column("I", counts, None)
    if len(names) != count or sum(of_runs) != count or not all(of_runs):
        raise ValueError("names")
    listing.names.extend(parents.split(b"\0") if count else [], of_runs, names)
    listing.rare = unpack_rare(rare, listing)
    listing.special = array("I", _special(listing, names))
    return listing


def _special(listing: Listing, names: list[bytes]) -> Any:
    """Return the positions of all members that are not plain files."""
    kinds = [traits.type is not MemberType.FILE for traits in listing.traits]
    flags = [kinds[kind] for kind in listing.kinds]
    for position, name in enumerate(names):
        if name[-1:] == b"/":
            flags[position] = True
    return compress(range(len(flags)), flags)


def _bytes(column: array[int]) -> bytes:
    if _SWAPPED:
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _column(code: str, data: bytes, count: int | None) -> array[int]:
    column: array[int] = array(code)
    column.frombytes(data)
    if _SWAPPED:
        column.byteswap()
    if count is not None and len(column) != count:
        raise ValueError("column")
    return column
