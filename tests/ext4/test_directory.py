from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import UnsupportedError
from tarkit.ext4 import directory
from tarkit.ext4.directory import DirectoryBlocks, DirectoryFormat, Name, build_directory
from tarkit.ext4.dirhash import hash_names

SEED = (1, 2, 3, 4)
CHECKED = DirectoryFormat(SEED, checksum_seed=7)
UNCHECKED = DirectoryFormat(SEED, checksum_seed=None)
FORMATS = pytest.mark.parametrize("form", [CHECKED, UNCHECKED], ids=["checked", "unchecked"])


def numbered(names: list[bytes]) -> list[Name]:
    return [Name(name, 100 + i, 1 + i % 7) for i, name in enumerate(names)]


def records(block: bytes, form: DirectoryFormat) -> Iterator[Name]:
    """Return the records of a leaf, which must fill it exactly."""
    position = 0
    while position < form.room:
        inode, length, size, kind = struct.unpack_from("<IHBB", block, position)
        assert length % 4 == 0
        assert length >= 8 + size
        if inode:
            yield Name(block[position + 8 : position + 8 + size], inode, kind)
        position += length
    assert position == form.room
    tail = block[position:]
    assert tail == (struct.pack("<IHBBI", 0, 12, 0, 0xDE, 0) if tail else b"")


def pointers(block: bytes, start: int) -> list[tuple[int, int]]:
    """Return the entries of an index block; the first has no hash."""
    _, entries, first = struct.unpack_from("<HHI", block, start)
    rest = struct.iter_unpack("<II", block[start + 8 : start + 8 * entries])
    return [(0, first), *((int(value), int(place)) for value, place in rest)]


def leaf_pointers(built: DirectoryBlocks) -> list[tuple[int, int]]:
    """Return the index entries of the leaves, with one or two levels."""
    top = pointers(built.blocks[0], 32)
    if built.index_blocks == 1:
        return top
    below = []
    for value, place in top:
        (_, first), *rest = pointers(built.blocks[place], 8)
        below += [(value, first), *rest]
    return below


@FORMATS
def test_few_names_take_one_block(form: DirectoryFormat) -> None:
    names = numbered([b"a", b"bb", b"c" * 255])
    built = build_directory(names, 12, 2, form)
    assert built.index_blocks == 0
    assert [len(block) for block in built.blocks] == [4096]
    expected = [Name(b".", 12, 2), Name(b"..", 2, 2), *names]
    assert list(records(built.blocks[0], form)) == expected


@FORMATS
def test_spare_blocks_are_empty(form: DirectoryFormat) -> None:
    built = build_directory([], 11, 2, form, at_least=4)
    assert [len(list(records(block, form))) for block in built.blocks] == [2, 0, 0, 0]


@FORMATS
@pytest.mark.parametrize(
    ("count", "width", "index_blocks"), [(400, 8, 1), (20_000, 20, 1), (9_000, 255, 3)]
)
def test_many_names_are_found_by_their_hash(
    form: DirectoryFormat, count: int, width: int, index_blocks: int
) -> None:
    names = numbered([b"%0*d" % (width, i) for i in range(count)])
    built = build_directory(names, 12, 2, form)
    assert built.index_blocks == index_blocks
    places = leaf_pointers(built)
    assert [place for _, place in places] == list(range(index_blocks, len(built.blocks)))
    found = []
    for i, (first, place) in enumerate(places):
        inside = list(records(built.blocks[place], form))
        hashes = [value >> 32 for value in hash_names([each.name for each in inside], SEED)]
        assert hashes == sorted(hashes)
        assert first & ~1 <= hashes[0]
        assert i + 1 == len(places) or hashes[-1] <= places[i + 1][0]
        found += inside
    assert sorted(found, key=lambda each: each.name) == names


@given(st.sets(st.binary(min_size=1, max_size=255), max_size=300))
def test_every_name_is_in_exactly_one_leaf(names: set[bytes]) -> None:
    built = build_directory(numbered(sorted(names)), 12, 2, CHECKED)
    leaves = built.blocks[built.index_blocks :]
    found = [each for block in leaves for each in records(block, CHECKED)]
    if not built.index_blocks:
        found = found[2:]
    assert sorted(found, key=lambda each: each.name) == numbered(sorted(names))


def test_names_of_one_hash_are_marked_as_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "hash_names", lambda names, _: [6 << 32] * len(names))
    built = build_directory(numbered([b"%0255d" % i for i in range(40)]), 12, 2, CHECKED)
    assert leaf_pointers(built) == [(0, 1), (7, 2), (7, 3)]


def test_the_index_has_a_last_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "index_capacity", lambda _start: 2)
    names = numbered([b"%0255d" % i for i in range(60)])
    assert build_directory(names, 12, 2, CHECKED).index_blocks == 3
    with pytest.raises(UnsupportedError, match="61 names"):
        build_directory(numbered([b"%0255d" % i for i in range(61)]), 12, 2, CHECKED)


def test_index_limits_match_the_format() -> None:
    assert (CHECKED.index_limit(32), CHECKED.index_limit(8)) == (507, 510)
    assert (UNCHECKED.index_limit(32), UNCHECKED.index_limit(8)) == (508, 511)


def counts(block: bytes, start: int) -> tuple[int, int]:
    limit, count = struct.unpack_from("<HH", block, start)
    return int(limit), int(count)


@FORMATS
@pytest.mark.parametrize(
    ("leaves", "nodes"),
    [(505, []), (506, []), (507, [507]), (509, [509]), (510, [509, 1]), (1019, [509, 509, 1])],
)
def test_no_index_block_is_ever_full(form: DirectoryFormat, leaves: int, nodes: list[int]) -> None:
    names = [(b"%07d" % i).ljust(248, b"n") for i in range(leaves * 15)]
    built = build_directory(numbered(names), 12, 2, form)
    assert len(built.blocks) - built.index_blocks == leaves
    found = [counts(block, 8) for block in built.blocks[1 : built.index_blocks]]
    assert counts(built.blocks[0], 32) == (form.index_limit(32), len(nodes) or leaves)
    assert found == [(form.index_limit(8), count) for count in nodes]


def slack(block: bytes) -> int:
    """Return the number of bytes of *block* that its last record does not need."""
    position = size = length = 0
    while position + length < len(block):
        position += length
        _, length, size, _ = struct.unpack_from("<IHBB", block, position)
    return length - 8 - size - -size % 4


@pytest.mark.parametrize("width", [1, 3, 4, 5, 8, 100, 248, 255])
def test_blocks_without_checksums_leave_room_for_one(width: int) -> None:
    """Otherwise enabling checksums with tune2fs breaks the directory."""
    names = numbered([b"%0*d" % (width, i) for i in range(min(10**width, 2_000))])
    built = build_directory(names, 12, 2, UNCHECKED)
    assert min(slack(block) for block in built.blocks[built.index_blocks :]) >= 12
    full = bisect_left(
        range(1, len(names) + 1),
        True,
        key=lambda n: build_directory(names[:n], 12, 2, UNCHECKED).index_blocks > 0,
    )
    assert slack(build_directory(names[:full], 12, 2, UNCHECKED).blocks[0]) >= 12
