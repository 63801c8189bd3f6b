"""Sparse members in all four formats, and inconsistent maps."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import pytest

from tarkit.errors import LimitExceededError, MalformedError, TruncatedError, UnsupportedError
from tarkit.tar import sparse
from tarkit.tar.header import MAX_SIZE
from tarkit.tar.member import Member, Segment
from tarkit.tar.reader import TarReader
from tests.tar.blocks import END, GNU, block, contents, file, members, only, padded, pax

MAP = ((512, 3), (4096, 5))
DATA = b"abcdefgh"
LOGICAL = bytes(512) + b"abc" + bytes(4096 - 515) + b"defgh" + bytes(10_000 - 4101)
SIZE = len(LOGICAL)


def octal(*numbers: int) -> bytes:
    return b"".join(b"%011o\0" % number for number in numbers)


def old_gnu(entries: Sequence[tuple[int, int]], size: int, data: bytes) -> bytes:
    """Return a member of type S: four entries in the header, 21 in each block after it."""
    area = [octal(*entry) for entry in entries]
    first, rest = area[:4], area[4:]
    tail = bytes(386 - 265) + b"".join(first).ljust(96, b"\0")
    header = block(
        b"sparse",
        flag=b"S",
        size=len(data),
        magic=GNU,
        tail=tail + bytes([bool(rest)]) + octal(size),
    )
    while rest:
        block_entries, rest = rest[:21], rest[21:]
        header += (b"".join(block_entries).ljust(504, b"\0") + bytes([bool(rest)])).ljust(
            512, b"\0"
        )
    return header + padded(data)


def pax_0_0(entries: Sequence[tuple[int, int]], size: int, data: bytes) -> bytes:
    records = [(b"GNU.sparse.size", b"%d" % size), (b"GNU.sparse.numblocks", b"%d" % len(entries))]
    for offset, length in entries:
        records.append((b"GNU.sparse.offset", b"%d" % offset))
        records.append((b"GNU.sparse.numbytes", b"%d" % length))
    return pax(*records) + file(b"sparse", data)


def pax_0_1(entries: Sequence[tuple[int, int]], size: int, data: bytes) -> bytes:
    listed = b",".join(b"%d,%d" % entry for entry in entries)
    return pax(
        (b"GNU.sparse.size", b"%d" % size),
        (b"GNU.sparse.numblocks", b"%d" % len(entries)),
        (b"GNU.sparse.name", b"sparse"),
        (b"GNU.sparse.map", listed),
    ) + file(b"GNUSparseFile.1/sparse", data)


def pax_1_0(entries: Sequence[tuple[int, int]], size: int, data: bytes) -> bytes:
    lines = b"%d\n" % len(entries) + b"".join(b"%d\n%d\n" % entry for entry in entries)
    return sparse_1_0(padded(lines) + data, size)


def sparse_1_0(stored: bytes, size: int) -> bytes:
    return pax(
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"sparse"),
        (b"GNU.sparse.realsize", b"%d" % size),
    ) + file(b"GNUSparseFile.1/sparse", stored)


Spelling = Callable[[Sequence[tuple[int, int]], int, bytes], bytes]
every_spelling = pytest.mark.parametrize("spell", [old_gnu, pax_0_0, pax_0_1, pax_1_0])


@every_spelling
def test_every_spelling_gives_the_same_member(spell: Spelling) -> None:
    archive = spell(MAP, SIZE, DATA) + file(b"after", b"x") + END
    (member, content), (after, _) = contents(archive)
    assert (member.name, member.size, member.stored) == (b"sparse", SIZE, len(DATA))
    assert member.sparse == (Segment(512, 3), Segment(4096, 5))
    assert content == LOGICAL
    assert after.name == b"after"


@every_spelling
def test_chunks_are_the_segments_in_order(spell: Spelling) -> None:
    reader = TarReader(io.BytesIO(spell(MAP, SIZE, DATA) + END))
    for _ in reader:
        assert b"".join(reader.chunks()) == DATA


@every_spelling
@pytest.mark.parametrize("count", [0, 1, 4, 5, 25, 26, 300])
def test_maps_of_many_lengths(spell: Spelling, count: int) -> None:
    entries = [(1000 * i, 2) for i in range(count)]
    member = only(spell(entries, 1000 * count + 7, b"ab" * count))
    assert member.sparse == tuple(Segment(*entry) for entry in entries)
    assert member.size == 1000 * count + 7


@every_spelling
def test_an_empty_segment_at_the_end_only_marks_the_hole(spell: Spelling) -> None:
    assert only(spell([*MAP, (SIZE, 0)], SIZE, DATA)).sparse == MAP


@every_spelling
@pytest.mark.parametrize(
    ("entries", "size"),
    [
        ([(4096, 5), (512, 3)], SIZE),
        ([(512, 3), (514, 5)], SIZE),
        ([(512, 3), (SIZE - 4, 5)], SIZE),
        ([(512, 3), (4096, 5)], 4100),
        ([(512, 3), (4096, 4)], SIZE),
        ([(512, 3), (4096, 6)], SIZE),
        ([(0, 1 << 32), (1 << 32, 5)], 1 << 33),
    ],
    ids=[
        "out of order",
        "overlap",
        "outside",
        "size too small",
        "data left",
        "data missing",
        "huge",
    ],
)
def test_inconsistent_maps_are_malformed(
    spell: Spelling, entries: list[tuple[int, int]], size: int
) -> None:
    with pytest.raises(MalformedError):
        only(spell(entries, size, DATA))


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        padded(b""),
        padded(b"1\n0\n") + b"x",
        b"1\n" + b"0" * 510,
        padded(b"-1\n"),
        padded(b"1\n-1\n1\n") + b"x",
        padded(b"one\n"),
        padded(b"1" * 400 + b"\n"),
    ],
    ids=["none", "blank", "cut", "endless", "negative count", "negative", "word", "long"],
)
def test_maps_in_the_data_that_cannot_be_read_are_malformed(stored: bytes) -> None:
    with pytest.raises(MalformedError):
        only(sparse_1_0(stored, 100))


def test_a_map_in_the_data_may_span_blocks_but_not_leave_its_member() -> None:
    lines = b"1000\n" + b"0\n0\n" * 100
    with pytest.raises(MalformedError, match="without an end"):
        only(sparse_1_0(padded(lines), 100), file(b"next", b"0\n0\n" * 1000))


@pytest.mark.parametrize(
    "records",
    [
        [(b"GNU.sparse.map", b"0,8")],
        [(b"GNU.sparse.size", b"8"), (b"GNU.sparse.map", b"0,8,9")],
        [(b"GNU.sparse.size", b"8"), (b"GNU.sparse.map", b"0,8"), (b"GNU.sparse.numblocks", b"2")],
        [(b"GNU.sparse.size", b"8"), (b"GNU.sparse.map", b"0,x")],
        [(b"GNU.sparse.size", b"8"), (b"GNU.sparse.numbytes", b"8"), (b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.size", b"8"), (b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.size", b"-8"), (b"GNU.sparse.map", b"0,8")],
        [(b"GNU.sparse.name", b"other")],
    ],
)
def test_records_that_do_not_make_a_map_are_malformed(records: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedError):
        only(pax(*records), file(b"sparse", DATA))


def test_an_unknown_version_is_unsupported() -> None:
    records = pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.realsize", b"8"))
    with pytest.raises(UnsupportedError, match="version"):
        only(records, file(b"sparse", DATA))


def test_only_files_are_sparse() -> None:
    with pytest.raises(MalformedError, match="not a file"):
        only(pax((b"GNU.sparse.size", b"8"), (b"GNU.sparse.map", b"")), block(flag=b"5"))


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
def test_an_old_header_may_not_claim_any_size(size: int) -> None:
    archive = bytearray(old_gnu([], 0, b""))
    archive[483:495] = b"\x80" + size.to_bytes(11, "big") if size > 0 else b"\xff" * 12
    archive[148:156] = b" " * 8
    archive[148:156] = b"%06o\0 " % sum(archive[:512])
    with pytest.raises(MalformedError, match="size"):
        only(bytes(archive))


def test_maps_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "MAX_SEGMENTS", 30)
    for spell in (old_gnu, pax_0_0, pax_0_1, pax_1_0):
        with pytest.raises(LimitExceededError):
            only(spell([(i, 1) for i in range(60)], 100, b"x" * 60))


def test_a_bomb_of_a_hole_costs_nothing_until_it_is_read() -> None:
    reader = TarReader(io.BytesIO(pax_1_0([], 1 << 60, b"") + END))
    member = next(iter(reader))
    assert member.size == 1 << 60
    assert next(sparse.logical(member, reader.chunks()))[:10] == bytes(10)
    assert list(reader) == []


def test_data_that_ends_early_is_truncated() -> None:
    member = Member(b"sparse", size=10, sparse=(Segment(0, 5),), stored=5)
    with pytest.raises(TruncatedError):
        sparse.SparseContent(io.BytesIO(b"abc"), member).read()


def test_an_old_map_that_promises_more_blocks_is_truncated() -> None:
    archive = old_gnu([(i, 1) for i in range(30)], 100, b"")
    with pytest.raises(TruncatedError):
        list(TarReader(io.BytesIO(archive[:1024])))


def test_ordinary_members_stay_ordinary() -> None:
    first, second = members(file(b"a", b"x"), pax((b"comment", b"GNU.sparse")), file(b"b"))
    assert first.sparse is None
    assert second.sparse is None
