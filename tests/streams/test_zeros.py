from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError, SizeMismatchError, TruncatedError
from tarkit.streams import zeros
from tarkit.streams.uncached import Buffer
from tarkit.streams.zeros import BLOCK, data_blocks

parts = st.lists(
    st.one_of(
        st.integers(1, 5 * BLOCK).map(bytes),
        st.integers(0, 4).map(lambda count: bytes(count * BLOCK)),
        st.integers(1, 300).map(lambda count: b"data" * count),
        st.integers(0, BLOCK).map(lambda count: bytes(count) + b"x"),
    ),
    max_size=12,
)


def cut(data: bytes, sizes: Iterable[int]) -> Iterator[memoryview]:
    """Yield *data* in pieces of *sizes*, which repeat."""
    lengths = list(sizes) or [len(data) or 1]
    position = number = 0
    while position < len(data):
        length = lengths[number % len(lengths)]
        yield memoryview(data)[position : position + length]
        position, number = position + length, number + 1


def merged(pieces: Iterable[tuple[int, Buffer]]) -> list[tuple[int, bytes]]:
    """Return *pieces* with adjacent ones joined."""
    found: list[tuple[int, bytes]] = []
    for offset, data in pieces:
        assert offset % BLOCK == 0
        if found and sum((found[-1][0], len(found[-1][1]))) == offset:
            found[-1] = (found[-1][0], found[-1][1] + data)
        else:
            found.append((offset, bytes(data)))
    return found


def stretches(whole: bytes) -> list[tuple[int, bytes]]:
    """Return the nonzero stretches of *whole*, computed the obvious way."""
    blocks = ((at, whole[at : at + BLOCK]) for at in range(0, len(whole), BLOCK))
    return merged((at, block) for at, block in blocks if any(block))


@given(parts=parts, sizes=st.lists(st.integers(1, 3 * BLOCK), max_size=4))
def test_only_blocks_with_data_are_left(parts: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(parts)
    assert merged(data_blocks(cut(whole, sizes), len(whole))) == stretches(whole)


@given(
    parts=st.lists(st.tuples(st.booleans(), st.integers(0, 3 * BLOCK)), max_size=10),
    sizes=st.lists(st.integers(1, 2 * BLOCK), max_size=4),
    tail=st.integers(0, 3 * BLOCK),
)
def test_it_does_not_matter_which_zeros_were_holes(
    parts: list[tuple[bool, int]], sizes: list[int], tail: int
) -> None:
    whole, stored, segments = b"", b"", []
    for is_hole, length in parts:
        if not is_hole:
            segments.append((len(whole), length))
            data = (b"x" + bytes(length))[:length]
            stored += data
        whole += bytes(length) if is_hole else data
    whole += bytes(tail)
    found = merged(data_blocks(cut(stored, sizes), len(whole), segments))
    assert found == stretches(whole)


@pytest.mark.parametrize("sizes", [[1], [BLOCK - 1], [BLOCK], [BLOCK + 1], [100_000]])
def test_pieces_end_with_blocks_or_with_the_file(sizes: list[int]) -> None:
    whole = b"d" * (3 * BLOCK) + bytes(2 * BLOCK) + b"e" * (BLOCK + 77)
    pieces = list(data_blocks(cut(whole, sizes), len(whole)))
    ends = [offset + len(data) for offset, data in pieces]
    assert all(end % BLOCK == 0 for end in ends[:-1])
    assert ends[-1] == len(whole)


def test_data_is_not_copied() -> None:
    whole = b"d" * (5 * BLOCK + 3)
    ((offset, data),) = data_blocks([whole], len(whole))
    assert (offset, memoryview(data).obj) == (0, whole)


def test_zeros_that_were_never_stored_take_no_time() -> None:
    size = 1 << 60
    pieces = data_blocks([b"a", b"z"], size, [(0, 1), (size - 1, 1)])
    assert [(offset, bytes(data).strip(b"\0")) for offset, data in pieces] == [
        (0, b"a"),
        (size - BLOCK, b"z"),
    ]


def test_a_large_file_keeps_only_its_longer_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zeros, "MOST_HOLES", 8)
    pattern = b"".join(b"d" * BLOCK + bytes(n * BLOCK) for n in (1, 2, 3, 4, 5, 6, 7)) + b"e"
    assert len(pattern) // BLOCK // 8 == 4
    found = merged(data_blocks([pattern], len(pattern)))
    assert [offset // BLOCK for offset, _ in found] == [0, 14, 20, 27, 35]
    assert all(pattern[offset:].startswith(data) for offset, data in found)


@given(blocks=st.lists(st.booleans(), max_size=200))
def test_the_number_of_holes_is_limited(blocks: list[bool]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zeros, "MOST_HOLES", 16)
        whole = b"".join((b"d" if each else b"\0") * BLOCK for each in blocks)
        found = merged(data_blocks([whole], len(whole)))
    assert len(found) <= 16 + 2
    rebuilt = bytearray(len(whole))
    for offset, data in found:
        rebuilt[offset : offset + len(data)] = data
    assert rebuilt == whole


@pytest.mark.parametrize("segments", [None, [(0, 10)], [(0, 5), (90, 5)]])
@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ([9], TruncatedError),
        ([], TruncatedError),
        ([11], SizeMismatchError),
        ([10, 1], SizeMismatchError),
    ],
)
def test_too_little_and_too_much(
    segments: list[tuple[int, int]] | None, sizes: list[int], error: type[Exception]
) -> None:
    chunks = [b"x" * size for size in sizes]
    with pytest.raises(error):
        list(data_blocks(chunks, 100 if segments else 10, segments))


@pytest.mark.parametrize(
    "segments", [[(5, 10), (14, 1)], [(0, 101)], [(101, 0)], [(5, -1)], [(-1, 3)]]
)
def test_segments_out_of_place(segments: list[tuple[int, int]]) -> None:
    with pytest.raises(MalformedError):
        list(data_blocks([b"x" * 200], 100, segments))
