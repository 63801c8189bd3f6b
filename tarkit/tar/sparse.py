"""Sparse members in their four formats: old GNU headers, and pax 0.0, 0.1 and 1.0.

The GNU tar manual specifies them in "Storing Sparse Files". Each gives a checked tuple of segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tarkit.errors import LimitExceededError, MalformedError, TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, Readable, chunks_of
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.header import MAX_SIZE, number
from tarkit.tar.member import Member, MemberType, Segment
from tarkit.tar.pax import PaxRecord, length
from tarkit.tar.tape import Tape

MAX_SEGMENTS = 1 << 18
"""Largest number of segments in a sparse member."""

# An old GNU header has fields in place of the ustar prefix: offset, length
#     sp         386 96    four entries of the map
#     isextended 482  1    nonzero if a block of further entries follows
#     realsize   483 12    logical size
# Such a block has 21 entries (504 bytes), then its own isextended byte. An entry is an offset and a
# size in the logical content, as number fields of 12 bytes each.
_SP = slice(386, 482)
_IS_EXTENDED = 482
_REAL_SIZE = slice(483, 495)
_EXTENSION_SP = slice(0, 504)
_EXTENSION_IS_EXTENDED = 504
_NUMBER_SIZE = 12
_ENTRY_SIZE = 2 * _NUMBER_SIZE

_LONGEST_NUMBER = 20
"""Most digits of a line of a 1.0 map; 2**63 has 19."""

# Versions (GNU.sparse.major and .minor) with the map in pax records, and with the map in the data;
# GNU tar wrote 0.0 and 0.1 without naming the version
_IN_RECORDS = {(b"0", b"0"), (b"0", b"1"), (None, None)}
_IN_DATA = (b"1", b"0")


def apply_old_gnu(member: Member, block: bytes, tape: Tape) -> None:
    """Set the sparse map of *member* from its header *block* (type ``S``) and the blocks after it."""
    fields = _old_gnu_entries(block[_SP])
    size = number(block[_REAL_SIZE])
    more = block[_IS_EXTENDED]
    while more:
        if len(fields) > MAX_SEGMENTS:
            raise _too_many()
        block = tape.take(BLOCK_SIZE)
        fields += _old_gnu_entries(block[_EXTENSION_SP])
        more = block[_EXTENSION_IS_EXTENDED]
    member.size = size
    member.sparse = checked(fields, size, member.stored)
    member.data_offset = tape.position


def apply_pax(
    member: Member, records: Sequence[PaxRecord], values: Mapping[bytes, bytes], tape: Tape
) -> None:
    """Set the sparse map of *member* from its pax *records*, or from its data if they say so."""
    size = values.get(b"GNU.sparse.realsize") or values.get(b"GNU.sparse.size")
    if not size or member.type is not MemberType.FILE:
        raise MalformedError("sparse member without a size, or not a file")
    version = (values.get(b"GNU.sparse.major"), values.get(b"GNU.sparse.minor"))
    if version == _IN_DATA:
        segments = _map_in_data(tape, member.stored)
        # the map is part of the stored bytes, but not of the content
        member.stored -= tape.position - member.data_offset
        member.data_offset = tape.position
    elif version in _IN_RECORDS:
        segments = _map_in_records(records, values)
    else:
        raise UnsupportedError("unknown version of a sparse member")
    member.size = length(size)
    member.sparse = checked(segments, member.size, member.stored)


def format_map(segments: Sequence[Segment], size: int) -> bytes:
    """Return a map in format 1.0, padded to whole blocks.

    GNU tar recognizes a hole at the end only by an empty segment after it.
    """
    listed = list(segments)
    if size and (not listed or sum(listed[-1]) < size):
        listed.append(Segment(size, 0))
    lines = b"%d\n" % len(listed) + b"".join(b"%d\n%d\n" % segment for segment in listed)
    return lines + bytes(padding(len(lines)))


def _old_gnu_entries(area: bytes) -> list[Segment]:
    return [
        Segment(
            number(area[at : at + _NUMBER_SIZE]), number(area[at + _NUMBER_SIZE : at + _ENTRY_SIZE])
        )
        for at in range(0, len(area), _ENTRY_SIZE)
        if area[at + _NUMBER_SIZE]  # unused entries have a NUL as size
    ]


def _map_in_records(records: Sequence[PaxRecord], values: Mapping[bytes, bytes]) -> list[Segment]:
    """Return the map of format 0.1, in one record, or of 0.0, in repeated pairs of records."""
    if listed := values.get(b"GNU.sparse.map"):
        numbers = [length(value) for value in listed.split(b",")]
    else:
        keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        entries = [record for record in records if record.key in keys]
        if any(entry.key != keys[i % 2] for i, entry in enumerate(entries)):
            raise MalformedError("sparse map out of order")
        numbers = [length(entry.value) for entry in entries]
    count = values.get(b"GNU.sparse.numblocks")
    if len(numbers) % 2 or (count is not None and length(count) * 2 != len(numbers)):
        raise MalformedError("sparse map of the wrong length")
    return _paired(numbers)


def _map_in_data(tape: Tape, limit: int) -> list[Segment]:
    """Read the map of format 1.0 before the data: decimal lines, the first with the count of segments.

    It is padded to a whole block.
    """
    lines = _lines(tape, limit)
    count = length(next(lines))
    if count > MAX_SEGMENTS:
        raise _too_many()
    return _paired([length(next(lines)) for _ in range(2 * count)])


def _lines(tape: Tape, limit: int) -> Iterator[bytes]:
    """Yield lines from *tape*, reading whole blocks as needed, of *limit* bytes in all."""
    text = b""
    while True:
        line, newline, rest = text.partition(b"\n")
        if newline:
            yield line
            text = rest
        elif limit < BLOCK_SIZE or len(line) > _LONGEST_NUMBER:
            raise MalformedError("sparse map without an end")
        else:
            text += tape.take(BLOCK_SIZE)
            limit -= BLOCK_SIZE


def _paired(numbers: Sequence[int]) -> list[Segment]:
    return [Segment(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), 2)]


def checked(segments: Sequence[Segment], size: int, stored: int) -> tuple[Segment, ...]:
    """Return *segments* without empty ones.

    Raises :class:`MalformedError` unless they are in order, end within *size* and add up to *stored*
    bytes, and :class:`LimitExceededError` if there are more than ``MAX_SEGMENTS``.
    """
    if len(segments) > MAX_SEGMENTS:
        raise _too_many()
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"size out of range: {size} bytes")
    end = total = 0
    for segment in segments:
        if segment.length < 0 or not end <= segment.offset <= size - segment.length:
            raise MalformedError("sparse map out of order, or beyond the end of the file")
        end = segment.offset + segment.length
        total += segment.length
    if total != stored:
        raise MalformedError(f"sparse map covers {total} bytes, but {stored} are stored")
    return tuple(segment for segment in segments if segment.length)


def _too_many() -> LimitExceededError:
    return LimitExceededError(
        f"sparse map of more than {MAX_SEGMENTS} segments", limit=MAX_SEGMENTS
    )


def block_aligned(segments: Sequence[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Return segments that cover *segments* and fill whole blocks, except for the last one.

    GNU tar reads each segment from the start of a block, so part of the hole after a segment is
    stored too. The second list has the positions of *segments* in the stored data.
    """
    aligned: list[Segment] = []
    inner = []
    start = 0
    for segment in segments:
        if aligned:
            last = aligned.pop()
            room = last.length + padding(last.length)
            if segment.offset < last.offset + room:  # begins in the last block of the previous one
                segment_end = segment.offset + segment.length
                aligned.append(Segment(last.offset, segment_end - last.offset))
            else:
                aligned += [Segment(last.offset, room), segment]
                start += room
        else:
            aligned.append(segment)
        inner.append(Segment(start + segment.offset - aligned[-1].offset, segment.length))
    return aligned, inner


def in_whole_blocks(
    pieces: Iterable[bytes | memoryview], segments: Sequence[Segment]
) -> tuple[tuple[Segment, ...], Iterator[bytes | memoryview]]:
    """Return the :func:`block_aligned` segments with their data, given that of *segments*."""
    aligned, inner = block_aligned(segments)
    return tuple(aligned), expand(pieces, inner, sum(segment.length for segment in aligned))


def expand(
    pieces: Iterable[bytes | memoryview], segments: Sequence[Segment], size: int
) -> Iterator[bytes | memoryview]:
    """Yield *pieces* of stored data at the offsets of *segments*, with zeros between, for *size* bytes.

    Excess data follows at the end. Raises :class:`TruncatedError` if the data ends early.
    """
    stored = iter(pieces)
    rest = memoryview(b"")
    at = 0
    for segment in segments:
        yield from _zeros(segment.offset - at)
        left = segment.length
        while left:
            part, rest = rest[:left], rest[left:]
            if part:
                yield part
            elif (piece := next(stored, None)) is None:
                raise TruncatedError("data of a sparse member ends early")
            else:
                rest = memoryview(piece)
            left -= len(part)
        at = segment.offset + segment.length
    yield from _zeros(size - at)
    yield rest
    yield from stored


def logical(member: Member, stored: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Return the content of *member* from its *stored* data, with zeros for holes."""
    if member.sparse is None:
        return iter(stored)
    return expand(stored, member.sparse, member.size)


class SparseContent(ChunkReader):
    """The logical content of a sparse member as a stream."""

    def __init__(self, stored: Readable, member: Member) -> None:
        super().__init__(stored)
        self._chunks = logical(member, chunks_of(stored))

    def _chunk(self) -> bytes:
        return next((bytes(chunk) for chunk in self._chunks if chunk), b"")


def _zeros(size: int) -> Iterator[bytes]:
    while size:
        zeros = bytes(min(size, CHUNK_SIZE))
        yield zeros
        size -= len(zeros)
