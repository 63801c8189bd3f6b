"""Sparse members in the four ways they are written: old GNU headers, and pax 0.0, 0.1 and 1.0.

Specified in the GNU tar manual, "Storing Sparse Files". All end as one checked tuple of segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tarkit.errors import LimitExceededError, MalformedError, TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, Readable, chunks_of
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.header import MAX_SIZE, number
from tarkit.tar.member import Member, MemberType, Segment
from tarkit.tar.pax import Record, length
from tarkit.tar.tape import Tape

MAX_SEGMENTS = 1 << 18
"""Most segments a sparse member may have."""

_IN_RECORDS = {(b"0", b"0"), (b"0", b"1"), (None, None)}
_IN_DATA = (b"1", b"0")


def apply_old_gnu(member: Member, block: bytes, tape: Tape) -> None:
    """Give *member* the map in its header *block* (type ``S``) and the blocks that continue it."""
    fields = _old_gnu_fields(block[386:482])
    size = number(block[483:495])
    more = block[482]
    while more:
        if len(fields) > MAX_SEGMENTS:
            raise _too_many()
        block = tape.take(BLOCK_SIZE)
        fields += _old_gnu_fields(block[:504])
        more = block[504]
    member.size = size
    member.sparse = checked(fields, size, member.stored)
    member.data_offset = tape.position


def apply_pax(
    member: Member, records: Sequence[Record], values: Mapping[bytes, bytes], tape: Tape
) -> None:
    """Give *member* the map that its pax *records* hold or announce."""
    size = values.get(b"GNU.sparse.realsize") or values.get(b"GNU.sparse.size")
    if not size or member.type is not MemberType.FILE:
        raise MalformedError("a sparse member without a size, or that is not a file")
    version = (values.get(b"GNU.sparse.major"), values.get(b"GNU.sparse.minor"))
    if version == _IN_DATA:
        segments = _map_in_data(tape, member.stored)
        member.stored -= tape.position - member.data_offset
        member.data_offset = tape.position
    elif version in _IN_RECORDS:
        segments = _map_in_records(records, values)
    else:
        raise UnsupportedError("a sparse member of an unknown version")
    member.size = length(size)
    member.sparse = checked(segments, member.size, member.stored)


def format_map(segments: Sequence[Segment], size: int) -> bytes:
    """A 1.0 map, whole blocks of it; an empty segment at the end tells GNU tar of a hole there."""
    listed = list(segments)
    if size and (not listed or sum(listed[-1]) < size):
        listed.append(Segment(size, 0))
    lines = b"%d\n" % len(listed) + b"".join(b"%d\n%d\n" % segment for segment in listed)
    return lines + bytes(padding(len(lines)))


def _old_gnu_fields(area: bytes) -> list[Segment]:
    return [
        Segment(number(area[at : at + 12]), number(area[at + 12 : at + 24]))
        for at in range(0, len(area), 24)
        if area[at + 12]  # a blank length ends the list
    ]


def _map_in_records(records: Sequence[Record], values: Mapping[bytes, bytes]) -> list[Segment]:
    """0.1 has the map in one record; 0.0 spreads it over repeated ones."""
    if listed := values.get(b"GNU.sparse.map"):
        numbers = [length(value) for value in listed.split(b",")]
    else:
        keys = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        entries = [record for record in records if record.key in keys]
        if any(entry.key != keys[i % 2] for i, entry in enumerate(entries)):
            raise MalformedError("a sparse map out of order")
        numbers = [length(entry.value) for entry in entries]
    count = values.get(b"GNU.sparse.numblocks")
    if len(numbers) % 2 or (count is not None and length(count) * 2 != len(numbers)):
        raise MalformedError("a sparse map of the wrong length")
    return _paired(numbers)


def _map_in_data(tape: Tape, limit: int) -> list[Segment]:
    """1.0 has the map in front of the data: decimal lines, first their number, padded to a block."""
    lines = _lines(tape, limit)
    count = length(next(lines))
    if count > MAX_SEGMENTS:
        raise _too_many()
    return _paired([length(next(lines)) for _ in range(2 * count)])


def _lines(tape: Tape, limit: int) -> Iterator[bytes]:
    text = b""
    while True:
        line, newline, rest = text.partition(b"\n")
        if newline:
            yield line
            text = rest
        elif limit < BLOCK_SIZE or len(line) > 20:
            raise MalformedError("a sparse map without its end")
        else:
            text += tape.take(BLOCK_SIZE)
            limit -= BLOCK_SIZE


def _paired(numbers: Sequence[int]) -> list[Segment]:
    return [Segment(numbers[at], numbers[at + 1]) for at in range(0, len(numbers), 2)]


def checked(segments: Sequence[Segment], size: int, stored: int) -> tuple[Segment, ...]:
    """*segments* without empty ones, once they are ordered, inside *size* and *stored* in sum.

    Raises :class:`MalformedError`, and :class:`LimitExceededError` beyond ``MAX_SEGMENTS``.
    """
    if len(segments) > MAX_SEGMENTS:
        raise _too_many()
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError(f"a size of {size} bytes")
    end = total = 0
    for segment in segments:
        if segment.length < 0 or not end <= segment.offset <= size - segment.length:
            raise MalformedError("a sparse map that is out of order or exceeds its file")
        end = segment.offset + segment.length
        total += segment.length
    if total != stored:
        raise MalformedError(f"a sparse map of {total} bytes for {stored} bytes of data")
    return tuple(segment for segment in segments if segment.length)


def _too_many() -> LimitExceededError:
    return LimitExceededError(
        f"a sparse map of more than {MAX_SEGMENTS} segments", limit=MAX_SEGMENTS
    )


def block_aligned(segments: Sequence[Segment]) -> tuple[list[Segment], list[Segment]]:
    """Segments that hold *segments* and end at block boundaries, all but the last.

    GNU tar looks for each segment at the start of a block. Where *segments* do not end at one, the
    hole after them is stored too. The second list says where they lie in what is then stored.
    """
    aligned: list[Segment] = []
    inner = []
    start = 0
    for segment in segments:
        if aligned:
            last = aligned.pop()
            room = last.length + padding(last.length)
            if segment.offset < last.offset + room:
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
    """The :func:`block_aligned` segments that hold *segments*, and what is stored for them: *pieces* are their data."""
    aligned, inner = block_aligned(segments)
    return tuple(aligned), expand(pieces, inner, sum(segment.length for segment in aligned))


def expand(
    pieces: Iterable[bytes | memoryview], segments: Sequence[Segment], size: int
) -> Iterator[bytes | memoryview]:
    """The *pieces* of stored data where *segments* say, with zeros in between, up to *size* bytes.

    What is left of them comes last. Raises :class:`TruncatedError` where they end early.
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
                raise TruncatedError("the data of a sparse member ends early")
            else:
                rest = memoryview(piece)
            left -= len(part)
        at = segment.offset + segment.length
    yield from _zeros(size - at)
    yield rest
    yield from stored


def logical(member: Member, stored: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """The content of *member*, whose *stored* data are given: holes of a sparse one are zeros."""
    if member.sparse is None:
        return iter(stored)
    return expand(stored, member.sparse, member.size)


class SparseContent(ChunkReader):
    """What :func:`logical` gives, as a stream."""

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
