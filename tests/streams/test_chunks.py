"""The base of stream readers: all ways of reading give the same bytes, and limits hold."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import LimitExceededError
from tarkit.streams.chunks import ChunkReader, chunks_of, read_bounded, write_all


class Pieces(ChunkReader):
    """A stream that returns the given pieces one by one."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__(io.BytesIO())
        self._pieces = [piece for piece in pieces if piece]

    def _chunk(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


pieces = st.lists(st.binary(max_size=20), max_size=8)


@given(pieces, st.lists(st.integers(0, 30), max_size=12), st.integers(0, 5))
def test_reads_and_peeks_of_any_size(parts: list[bytes], sizes: list[int], peek: int) -> None:
    stream, whole = Pieces(parts), b"".join(parts)
    got = b""
    for size in sizes:
        assert stream.peek(peek) == whole[len(got) : len(got) + peek]
        data = stream.read(size)
        assert len(data) <= size
        got += data
    assert got + stream.read() == whole
    assert stream.read(1) == b""


@given(pieces)
def test_a_buffered_reader_over_it(parts: list[bytes]) -> None:
    assert io.BufferedReader(Pieces(parts), 7).read() == b"".join(parts)


def test_closing_closes_the_input() -> None:
    below = io.BytesIO(b"abc")

    class Plain(ChunkReader):
        def _chunk(self) -> bytes:
            return self._stream.read(1)

    with Plain(below) as stream:
        assert stream.readable()
        assert stream.read() == b"abc"
    assert below.closed
    stream.close()


def test_a_bounded_read_stops_just_after_the_limit() -> None:
    assert read_bounded(io.BytesIO(b"abc"), 3) == b"abc"
    endless = Pieces([random.Random(0).randbytes(1000)] * 100)
    with pytest.raises(LimitExceededError) as caught:
        read_bounded(endless, 3, where="x")
    assert caught.value.limit == 3


def test_pieces_of_a_stream() -> None:
    assert list(chunks_of(io.BytesIO(b"abcde"), 2)) == [b"ab", b"cd", b"e"]


def test_short_writes_are_completed() -> None:
    class Slow(io.BytesIO):
        def write(self, data: object, /) -> int:
            return super().write(bytes(data)[:2])  # type: ignore[call-overload]

    slow = Slow()
    write_all(slow, b"abcde")
    assert slow.getvalue() == b"abcde"


def test_a_non_blocking_file_is_an_error() -> None:
    """Like a full, non-blocking raw pipe."""

    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            return None  # type: ignore[return-value]

    with pytest.raises(BlockingIOError):
        write_all(Full(), b"a")
