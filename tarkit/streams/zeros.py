"""File data without its blocks of zeros, which a filesystem keeps as holes.

What is left out depends on the content alone: neither on how it was cut into chunks nor on which of
its zeros were holes of a sparse archive member.
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
"""Roughly the most holes that one file gets: each of them takes memory."""

_ZEROS = bytes(CHUNK_SIZE)
_ZERO_BLOCK = bytes(BLOCK)

Segments: TypeAlias = Sequence[tuple[int, int]]
"""Offset and length of each stretch of data of a sparse file, in order."""


def data_blocks(
    chunks: Iterable[Buffer], size: int, segments: Segments | None = None
) -> Iterable[tuple[int, Buffer]]:
    """Return the blocks of a file of *size* bytes that hold more than zeros, with their offsets.

    *chunks* are the file's content, or only that of its *segments* if it is sparse. Every piece
    begins and ends with a block, or ends with the file. In files of more than 512 MiB short
    stretches of zeros are among them, so that there are no more than :data:`MOST_HOLES` holes.

    Raises :class:`TruncatedError` or :class:`SizeMismatchError` if *chunks* hold less or more data
    than they should, and :class:`MalformedError` for segments that overlap or reach out.
    """
    if segments is not None:
        return _found_in(_with_holes(chunks, size, segments), size)
    stream = iter(chunks)
    first = next(stream, b"")
    if size and len(first) == size and _has_no_zeros(first):
        if any(map(len, stream)):
            raise SizeMismatchError(size, size + 1)
        return ((0, first),)  # as it is for nearly all files, with less work
    return _found_in(_exactly(chain((first,), stream), size), size)


def _has_no_zeros(data: Buffer) -> bool:
    """Return whether *data* surely has no block of zeros."""
    return 0 not in bytes(memoryview(data)[::BLOCK])


def _found_in(pieces: Iterable[Buffer | int], size: int) -> Iterable[tuple[int, Buffer]]:
    found = _blocks(pieces, size)
    least = size // BLOCK // MOST_HOLES * BLOCK
    return _without_short_holes(found, least) if least > BLOCK else found


def check_segments(segments: Segments, size: int) -> None:
    """Raise :class:`MalformedError` unless *segments* are in order, apart and inside *size* bytes."""
    position = 0
    for offset, length in segments:
        if offset < position or length < 0 or offset + length > size:
            raise MalformedError(f"a sparse file of {size} bytes has data at {offset}+{length}")
        position = offset + length


def _exactly(chunks: Iterable[Buffer], size: int) -> Iterator[Buffer]:
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise SizeMismatchError(size, size - left)
        yield chunk
    if left:
        raise TruncatedError(f"file contents end after {size - left} bytes, not {size}")


def _with_holes(chunks: Iterable[Buffer], size: int, segments: Segments) -> Iterator[Buffer | int]:
    """Yield *chunks*, which fill the *segments*, and the holes between them."""
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
    yield from (each for each in data if each)  # nothing, or an error


def _hole(start: int, end: int) -> Iterator[Buffer | int]:
    """Yield the whole blocks of a hole as their size, and zeros for the blocks that it is part of."""
    first = min(start + -start % BLOCK, end)
    last = max(end - end % BLOCK, first)
    yield _ZEROS[: first - start]
    yield last - first
    yield _ZEROS[: end - last]


def _blocks(pieces: Iterable[Buffer | int], size: int) -> Iterator[tuple[int, Buffer]]:
    """Yield the blocks with data of a file that *pieces* add up to: content, and sizes of holes."""
    position = 0
    begun = b""  # of the block at that position, until all of it is there
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
        if position + len(view) < size and (rest := len(view) % BLOCK):
            view, begun = view[:-rest], bytes(view[-rest:])
        if not _has_no_zeros(view):
            yield from _data_in(view, position)
        elif view:
            yield position, view
        position += len(view)
    yield from _data_in(memoryview(begun), position)


def _data_in(view: memoryview, position: int) -> Iterator[tuple[int, Buffer]]:
    """Yield the stretches of *view*, whole blocks at *position* of a file, between those of zeros."""
    firsts = bytes(view[::BLOCK])
    if not any(firsts) and bytes(view) == _ZEROS[: len(view)]:
        return
    start = 0
    at = firsts.find(0)
    while at >= 0:
        begin, end = at * BLOCK, min((at + 1) * BLOCK, len(view))
        # nearly all have something in the last byte; views would be compared byte by byte
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
    """Yield *pieces*, with zeros where fewer than *least* bytes lie between two of them."""
    position = -least
    for offset, data in pieces:
        if offset - position < least:
            for start in range(position, offset, CHUNK_SIZE):
                yield start, _ZEROS[: offset - start]
        yield offset, data
        position = offset + len(data)
