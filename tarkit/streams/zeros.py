"""Split file data into nonzero blocks; the blocks of zeros become holes in a filesystem.

The result depends only on the content, not on its division into chunks or on the holes of a sparse
archive member.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from tarkit.errors import MalformedError, SizeMismatchError, TruncatedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.uncached import Buffer

BLOCK = 4096
MOST_HOLES = 1 << 16
"""Approximate limit on the number of holes in a file, since each hole takes memory."""

_ZEROS = bytes(CHUNK_SIZE)
_ZERO_BLOCK = bytes(BLOCK)

Segments: TypeAlias = Sequence[tuple[int, int]]
"""Offset and length of each stretch of data of a sparse file, in order."""


def data_blocks(
    chunks: Iterable[Buffer], size: int, segments: Segments | None = None
) -> Iterable[tuple[int, Buffer]]:
    """Return the nonzero blocks of a file of *size* bytes, with their offsets.

    *chunks* are the content of the file, or only that of its *segments* if it is sparse. Results
    begin and end on a block boundary, or end with the file. In files over 512 MiB the results
    include short stretches of zeros, so that there are at most :data:`MOST_HOLES` holes.

    Raises :class:`TruncatedError` or :class:`SizeMismatchError` if *chunks* have too little or too
    much data, and :class:`MalformedError` if segments overlap or exceed the file.
    """
    if segments is not None:
        return _found_in(_with_holes(chunks, size, segments), size)
    stream = iter(chunks)
    first = next(stream, b"")
    if size and len(first) == size and _has_no_zeros(first):
        if any(map(len, stream)):
            raise SizeMismatchError(size, size + 1)
        return ((0, first),)  # the fast path for nearly all files
    return _found_in(_exactly(chain((first,), stream), size), size)


def _has_no_zeros(data: Buffer) -> bool:
    """Return True if *data* certainly has no block of zeros, judging by the first byte of each."""
    return 0 not in bytes(memoryview(data)[::BLOCK])


def _found_in(pieces: Iterable[Buffer | int], size: int) -> Iterable[tuple[int, Buffer]]:
    found = _blocks(pieces, size)
    # If there are fewer holes than MOST_HOLES even in the worst case, keep all of them.
    least = size // BLOCK // MOST_HOLES * BLOCK
    return _without_short_holes(found, least) if least > BLOCK else found


def check_segments(segments: Segments, size: int) -> None:
    """Raise :class:`MalformedError` unless *segments* are ordered, disjoint and within *size*."""
    position = 0
    for offset, length in segments:
        if offset < position or length < 0 or offset + length > size:
            raise MalformedError(f"sparse file of {size} bytes with data at {offset}+{length}")
        position = offset + length


def _exactly(chunks: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise SizeMismatchError(size, size - left)
        yield chunk
    if left:
        raise TruncatedError(f"file content ends after {size - left} of {size} bytes")


def _with_holes(chunks: Iterable[Buffer], size: int, segments: Segments) -> Iterator[Buffer | int]:
    """Yield *chunks*, the content of *segments*, and the holes between them."""
    check_segments(segments, size)
    data = _exactly(chunks, sum(length for _, length in segments))
    rest = memoryview(b"")
    position = 0
    for offset, length in segments:
        yield from _hole(position, offset)
        left = length
        while left:
            rest = rest or memoryview(next(data))
            part, rest = rest[:left], rest[left:]
            yield part
            left -= len(part)
        position = offset + length
    yield from _hole(position, size)
    yield from (each for each in data if each)  # raises an error if there is more data


def _hole(start: int, end: int) -> Iterator[Buffer | int]:
    """Yield the size of a hole in whole blocks, with zeros for partial blocks on both sides."""
    first = min(start + -start % BLOCK, end)
    last = max(end - end % BLOCK, first)
    yield _ZEROS[: first - start]
    yield last - first
    yield _ZEROS[: end - last]


def _blocks(pieces: Iterable[Buffer | int], size: int) -> Iterator[tuple[int, Buffer]]:
    """Yield the nonzero blocks of a file made of *pieces*: content, and sizes of holes."""
    position = 0
    begun = b""  # the incomplete block at *position*
    for piece in pieces:
        if isinstance(piece, int):
            position += piece
            continue
        view = memoryview(piece)
        if begun:
            missing = BLOCK - len(begun)
            begun += view[:missing]
            view = view[missing:]
            if len(begun) < BLOCK:
                continue
            yield from _data_in(memoryview(begun), position)
            position, begun = position + BLOCK, b""
        # Keep an incomplete block for the next piece, unless the file ends with it.
        if position + len(view) < size and (rest := len(view) % BLOCK):
            view, begun = view[:-rest], bytes(view[-rest:])
        if not _has_no_zeros(view):
            yield from _data_in(view, position)
        elif view:
            yield position, view
        position += len(view)
    yield from _data_in(memoryview(begun), position)


def _data_in(view: memoryview, position: int) -> Iterator[tuple[int, Buffer]]:
    """Yield the nonzero stretches of *view*, whole blocks at *position* of a file."""
    firsts = bytes(view[::BLOCK])
    # A view that starts its blocks with zeros is usually zero throughout.
    if not any(firsts) and bytes(view) == _ZEROS[: len(view)]:
        return
    start = 0
    at = firsts.find(0)
    while at >= 0:
        begin, end = at * BLOCK, min((at + 1) * BLOCK, len(view))
        # The last byte rules out nearly all other blocks, and bytes compare faster than views.
        if not view[end - 1] and bytes(view[begin:end]) == _ZERO_BLOCK[: end - begin]:
            if start < begin:
                yield position + start, view[start:begin]
            start = end
        at = firsts.find(0, at + 1)
    if start < len(view):
        yield position + start, view[start:]


def _without_short_holes(
    pieces: Iterable[tuple[int, Buffer]], least: int
) -> Iterator[tuple[int, Buffer]]:
    """Yield *pieces*, filling holes of fewer than *least* bytes with zeros."""
    position = -least  # a hole at the start of the file is never filled
    for offset, data in pieces:
        if offset - position < least:
            for start in range(position, offset, CHUNK_SIZE):
                yield start, _ZEROS[: offset - start]
        yield offset, data
        position = offset + len(data)
