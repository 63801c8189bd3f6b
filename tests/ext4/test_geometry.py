from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import NoSpaceError
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, ceil_div
from tarkit.ext4.geometry import MAX_FOUND_BLOCKS, divide, prefix_for
from tarkit.ext4.journal import journal_blocks
from tarkit.ext4.layout import plan_layout
from tarkit.ext4.options import Ext4Options, Percent
from tarkit.ext4.space import Space

MIB = 1024 * 1024 // BLOCK
GIB = 1024 * MIB
TIB = 1024 * GIB


# As mke2fs 1.47 makes them, with -O ^64bit.
@pytest.mark.parametrize(
    ("blocks", "journal", "reserved"),
    [
        (1000 * MIB, 4096, 62),
        (2000 * MIB, 8192, 124),
        (10 * GIB, 16384, 639),
        (100 * GIB, 131072, 1017),
    ],
)
def test_journal_and_reserved_blocks_match_mke2fs(blocks: int, journal: int, reserved: int) -> None:
    geometry = divide(blocks, 11, prefix_for(blocks, grows=True, wide=False), Ext4Options())
    assert geometry.journal_blocks == journal
    assert geometry.reserved_gdt == reserved


def test_small_images_have_no_journal() -> None:
    assert (journal_blocks(2047), journal_blocks(2048)) == (0, 1024)


def test_above_16_tib_descriptors_are_wide() -> None:
    narrow = divide(16 * TIB - 1, 11, 1025, Ext4Options())
    wide = divide(16 * TIB, 11, 2049, Ext4Options())
    assert (narrow.wide, narrow.descriptor_size, narrow.gdt_blocks) == (False, 32, 1024)
    assert (wide.wide, wide.descriptor_size, wide.gdt_blocks) == (True, 64, 2048)


def test_inodes_are_numbered_in_32_bits() -> None:
    assert divide(64 * TIB, 11, 8193, Ext4Options()).inodes < 2**32


def test_a_group_has_no_more_inodes_than_its_bitmap() -> None:
    geometry = divide(2 * BLOCKS_PER_GROUP, 10**6, 65, Ext4Options())
    assert geometry.inodes_per_group == 32768


def test_a_small_last_group_has_a_shortfall() -> None:
    def shortfall(rest: int) -> int:
        blocks = 2 * BLOCKS_PER_GROUP + rest
        return divide(blocks, 11, 2, Ext4Options(profile="ro")).last_group_shortfall

    assert [shortfall(rest) for rest in (0, 1, 52, 53)] == [0, 52, 1, 0]


def filled(blocks: int) -> Space:
    space = Space(65, MAX_FOUND_BLOCKS)
    space.allocate(blocks)
    return space


@given(
    used=st.integers(1, 20 * BLOCKS_PER_GROUP),
    inodes=st.integers(11, 400_000),
    free=st.integers(0, 90).map(Percent) | st.integers(0, 2**33),
    align=st.integers(1, 4096).map(lambda blocks: blocks * BLOCK),
)
def test_an_automatic_size_is_sufficient_and_aligned(
    used: int, inodes: int, free: int | Percent, align: int
) -> None:
    layout = plan_layout(filled(used), inodes, Ext4Options(free=free, align=align))
    geometry = layout.geometry
    assert geometry.blocks * BLOCK % align == 0
    assert layout.space.end <= geometry.blocks
    assert geometry.inodes >= inodes
    assert geometry.last_group_shortfall == 0
    wanted = free if isinstance(free, int) else geometry.blocks * BLOCK * free.value // 100
    assert layout.free_blocks >= wanted // BLOCK


@given(used=st.integers(1, 5 * BLOCKS_PER_GROUP), inodes=st.integers(11, 100_000))
def test_the_smallest_size_has_little_to_spare(used: int, inodes: int) -> None:
    options = Ext4Options(size="min", align=BLOCK, profile="ro")
    layout = plan_layout(filled(used), inodes, options)
    groups = ceil_div(inodes, 32768)
    if layout.geometry.groups > groups:
        # Past the last backup, what is left over is less than the table that did not fit there.
        assert (
            layout.geometry.blocks - layout.space.end <= 50 + 65 + 2 + layout.geometry.table_blocks
        )


def test_the_requested_inodes_exist() -> None:
    options = Ext4Options(inodes=100_000, size="min")
    layout = plan_layout(filled(10), 500, options)
    assert layout.geometry.inodes >= 100_000
    assert layout.geometry.groups == 4


def test_more_inodes_than_a_given_size_can_have_are_refused() -> None:
    options = Ext4Options(size=128 * 1024 * 1024)
    with pytest.raises(
        NoSpaceError, match="at least 402657280 bytes, but only 134217728 are allowed"
    ):
        plan_layout(filled(10), 100_000, options)


def test_a_given_size_that_is_too_small_is_refused() -> None:
    options = Ext4Options(size=64 * 1024 * 1024)
    with pytest.raises(NoSpaceError, match="67108864 are allowed"):
        plan_layout(filled(63 * MIB), 500, options)


@pytest.mark.parametrize("content", [100, 5 * MIB, 127 * MIB, 128 * MIB, 300 * MIB])
@pytest.mark.parametrize("inodes", [12, 500, 9_000])
def test_the_reported_size_is_the_smallest_that_works(content: int, inodes: int) -> None:
    space = filled(content)
    given = space.end * BLOCK  # for the contents alone
    with pytest.raises(NoSpaceError) as caught:
        plan_layout(space, inodes, Ext4Options(size=max(given, 256 * 1024)))
    found = re.search(r"at least (\d+) bytes", caught.value.message)
    assert found
    size = int(found[1])
    plan_layout(space, inodes, Ext4Options(size=size))
    with pytest.raises(NoSpaceError):
        plan_layout(space, inodes, Ext4Options(size=size - BLOCK))


def test_a_small_last_group_is_left_out() -> None:
    options = Ext4Options(size=(2 * BLOCKS_PER_GROUP + 20) * BLOCK)
    assert plan_layout(filled(10), 500, options).geometry.blocks == 2 * BLOCKS_PER_GROUP


def test_automatic_sizes_end_at_1_tib() -> None:
    with pytest.raises(NoSpaceError, match="the smallest that works"):
        plan_layout(filled(10), 500, Ext4Options(free=2**40))
