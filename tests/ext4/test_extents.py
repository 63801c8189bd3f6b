from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import count

import pytest

from tarkit.ext4.extents import BlockMap, extents_of, map_extents
from tarkit.ext4.node import Extent
from tarkit.ext4.space import Run

FIRST_OF_TREE = 2**33


def scattered(pieces: int) -> list[Extent]:
    return [Extent(2 * i, 5_000_000_000 + 7 * i, 1) for i in range(pieces)]


def mapped(extents: list[Extent]) -> BlockMap:
    places = count(FIRST_OF_TREE)
    return map_extents(extents, lambda: next(places))


def walk(node: bytes, blocks: dict[int, bytes], room: int) -> Iterator[Extent]:
    """Return the extents of a tree, in order; assert that its nodes are valid."""
    magic, entries, most, depth, _ = struct.unpack_from("<HHHHI", node)
    assert (magic, most) == (0xF30A, room)
    for i in range(entries):
        if depth:
            logical, low, high, _ = struct.unpack_from("<IIHH", node, 12 + 12 * i)
            below = list(walk(blocks[low | high << 32], blocks, 340))
            assert below[0].logical == logical
            yield from below
        else:
            logical, length, high, low = struct.unpack_from("<IHHI", node, 12 + 12 * i)
            yield Extent(logical, low | high << 32, length)


@pytest.mark.parametrize(
    ("pieces", "depth", "blocks"),
    [(0, 0, 0), (4, 0, 0), (5, 1, 1), (1360, 1, 4), (1361, 2, 6)],
)
def test_depth_and_blocks_of_the_tree(pieces: int, depth: int, blocks: int) -> None:
    tree = mapped(scattered(pieces))
    assert len(tree.root) == 60
    assert struct.unpack_from("<6xH", tree.root) == (depth,)
    assert len(tree.blocks) == blocks
    inner = {block.physical: block.data for block in tree.blocks}
    assert all(len(data) == 4096 for data in inner.values())
    assert list(walk(tree.root, inner, 4)) == scattered(pieces)


def test_long_extents_are_cut() -> None:
    tree = mapped([Extent(3, 100, 70_000)])
    assert list(walk(tree.root, {}, 4)) == [
        Extent(3, 100, 32768),
        Extent(3 + 32768, 100 + 32768, 32768),
        Extent(3 + 65536, 100 + 65536, 70_000 - 65536),
    ]


def test_runs_become_a_file_without_holes() -> None:
    assert extents_of([Run(50, 3), Run(9, 2)]) == [Extent(0, 50, 3), Extent(3, 9, 2)]
    assert extents_of([Run(50, 3)], logical=7) == [Extent(7, 50, 3)]
