from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarkit.errors import NoSpaceError
from tarkit.ext4.format import backup_groups
from tarkit.ext4.space import Run, Space

GROUP = 32768


def blocks(runs: list[Run]) -> set[int]:
    return {block for run in runs for block in range(run.start, run.end)}


def test_groups_with_a_backup() -> None:
    assert list(backup_groups(130)) == [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]
    assert list(backup_groups(1)) == [0]


def test_a_long_run_steps_over_backups() -> None:
    space = Space(prefix=10, limit=10 * GROUP)
    assert space.allocate(4 * GROUP) == [
        Run(10, GROUP - 10),
        Run(GROUP + 10, 2 * GROUP - 10),
        Run(3 * GROUP + 10, GROUP + 20),
    ]


def test_no_blocks_are_no_run() -> None:
    assert Space(prefix=1, limit=2).allocate(0) == []


def test_contiguous_blocks_are_in_one_run() -> None:
    space = Space(prefix=10, limit=10 * GROUP)
    space.allocate(GROUP - 100)
    assert space.allocate_contiguous(500) == Run(GROUP + 10, 500)
    assert space.holes() == [Run(GROUP - 90, 90)]
    assert space.allocate_contiguous(90) == Run(GROUP - 90, 90)


def test_the_smallest_hole_that_fits_is_taken() -> None:
    space = Space(prefix=1, limit=GROUP)
    space.allocate(1000)
    for hole in (Run(100, 50), Run(300, 20), Run(400, 30)):
        space.release(hole)
    assert space.allocate(20) == [Run(300, 20)]
    assert space.allocate(20) == [Run(400, 20)]
    assert space.allocate(60) == [Run(1001, 60)]


def test_holes_are_used_up_from_the_largest_on() -> None:
    space = Space(prefix=1, limit=1000)
    space.allocate(100)
    for hole in (Run(10, 5), Run(20, 8), Run(50, 2)):
        space.release(hole)
    assert space.take(6) == [Run(20, 6)]
    assert space.take(4) == [Run(26, 2), Run(10, 2)]
    space.put_back()
    assert space.holes() == [Run(12, 3), Run(50, 2)]
    assert space.take(7) == [Run(12, 3), Run(50, 2), Run(101, 2)]
    assert space.holes() == []
    assert space.taken == 102


@given(
    holes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 9)), max_size=9),
    counts=st.lists(st.integers(0, 20), max_size=9),
    backup=st.booleans(),
)
def test_taken_blocks_do_not_depend_on_the_calls(
    holes: list[tuple[int, int]], counts: list[int], backup: bool
) -> None:
    start = GROUP - 150 if backup else 1
    space = Space(prefix=start, limit=3 * GROUP)
    space.allocate(100)
    for block in {block for at, count in holes for block in range(at, at + count)}:
        space.release(Run(start + block, 1))
    twin = space.copy()
    once = space.take(sum(counts))
    pieces = [run for count in counts for run in twin.take(count)]
    assert flat(once) == flat(pieces)
    space.put_back()
    twin.put_back()
    assert (space.holes(), space.end, space.taken) == (twin.holes(), twin.end, twin.taken)


def flat(runs: list[Run]) -> list[int]:
    return [block for run in runs for block in range(run.start, run.end)]


def test_adjacent_holes_are_joined() -> None:
    space = Space(prefix=1, limit=GROUP)
    space.allocate(100)
    for hole in (Run(10, 5), Run(20, 5), Run(15, 5)):
        space.release(hole)
    assert space.holes() == [Run(10, 15)]


def test_the_limit_is_kept() -> None:
    space = Space(prefix=1, limit=100)
    space.allocate(99)
    with pytest.raises(NoSpaceError, match="at least 413696 bytes, but only 409600 are allowed"):
        space.allocate(1)


def test_a_narrower_prefix_makes_holes() -> None:
    space = Space(prefix=10, limit=10 * GROUP)
    space.allocate(2 * GROUP)
    space.narrow(4)
    assert space.holes() == [Run(4, 6), Run(GROUP + 4, 6)]
    assert space.allocate(2 * GROUP)[-1].start == 3 * GROUP + 4


def test_a_copy_is_independent() -> None:
    space = Space(prefix=1, limit=GROUP)
    space.allocate(50)
    space.release(Run(10, 5))
    twin = space.copy()
    twin.allocate(5)
    twin.allocate(100)
    assert (space.end, space.holes()) == (51, [Run(10, 5)])


def test_free_runs_exclude_later_backups() -> None:
    space = Space(prefix=10, limit=10 * GROUP)
    space.allocate(90)
    assert list(space.free_runs(2 * GROUP)) == [Run(100, GROUP - 100), Run(GROUP + 10, GROUP - 10)]
    assert space.free_blocks(2 * GROUP) == 2 * GROUP - 110


@given(data=st.data(), prefix=st.integers(1, 200))
@settings(max_examples=30)
def test_no_block_is_allocated_twice_and_none_is_lost(data: st.DataObject, prefix: int) -> None:
    space = Space(prefix, limit=100 * GROUP)
    held: list[list[Run]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        action = data.draw(st.sampled_from(["allocate", "contiguous", "take", "release"]))
        if action == "release" and held:
            for run in held.pop(data.draw(st.integers(0, len(held) - 1))):
                space.release(run)
        elif action == "contiguous":
            held.append([space.allocate_contiguous(data.draw(st.integers(1, 9_000)))])
        elif action == "take":
            held.append(space.take(data.draw(st.integers(1, 40_000))))
        else:
            held.append(space.allocate(data.draw(st.integers(1, 40_000))))
    space.put_back()
    total = (space.end // GROUP + 3) * GROUP
    groups = [group * GROUP for group in backup_groups(total // GROUP)]
    parts = [blocks(runs) for runs in held]
    parts += [blocks([Run(base, prefix) for base in groups]), blocks(list(space.free_runs(total)))]
    assert set.union(*parts) == set(range(total))
    assert sum(map(len, parts)) == total
