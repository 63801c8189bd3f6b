"""Which refs go, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tarkit.cache.facts import RecordType
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.policies import DiskSpace, PrunePolicy, default_policies, keep_bytes
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression
from tests.cache.refs import RETAIN, Blob, made, usage

DAY = 86_400
GB = 10**9


class Clock:
    """A clock that tests set."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(root: Path, clock: Clock) -> Iterator[CacheManager]:
    with CacheManager.open(root, clock=clock) as opened:
        yield opened


@pytest.mark.parametrize(
    ("total", "free", "policy", "keep"),
    [
        (1000, 9000, PrunePolicy(), 0),
        (1000, 9000, PrunePolicy(max_used=2000), 2000),
        (7000, 3000, PrunePolicy(min_free=5000), 5000),
        (7000, 3000, PrunePolicy(min_free=5000, reserved=6000), 6000),
        (7000, 3000, PrunePolicy(min_free=5000, reserved=2000, max_used=4000), 4000),
        (4000, 2000, PrunePolicy(max_used=2000), 2000),
        (4000, 2000, PrunePolicy(max_used=2000, min_free=5000), 1000),
        (4000, 2000, PrunePolicy(max_used=2000, min_free=5000, reserved=2000), 2000),
        (4000, 2000, PrunePolicy(max_used=4000, min_free=5000, reserved=2000), 2000),
        (4000, 9000, PrunePolicy(min_free=5000), 4000),
    ],
)
def test_bytes_to_keep(total: int, free: int, policy: PrunePolicy, keep: int) -> None:
    assert keep_bytes(total, DiskSpace(10_000, free), policy) == keep


def test_the_default_policies() -> None:
    disk = DiskSpace(100 << 30, 0)
    first, second, third, last = default_policies(disk)
    assert set(first.filters) == {
        "type==source.local", "type==exec.cachemount", "type==source.git.checkout",
    }  # fmt: skip
    assert (first.keep_duration, first.max_used, first.all) == (2 * DAY, 512_000_000, False)
    assert (second.keep_duration, third.keep_duration, last.keep_duration) == (60 * DAY, 0, 0)
    assert [each.all for each in (second, third, last)] == [False, False, True]
    for each in (second, third, last):
        assert (each.reserved, each.max_used, each.min_free) == (10 * GB, 81 * GB, 21 * GB)
    assert default_policies(DiskSpace(10 << 40, 0))[3].max_used == 100 * GB
    assert default_policies(DiskSpace(10 << 30, 0))[3].reserved == 2 * GB


def idle(manager: CacheManager, name: str, size: int = 1, kind: RecordType | None = None) -> str:
    """Create a ref that nothing uses, with a file of *size* bytes; return its ID."""
    with manager.new(options=RefOptions(record_type=kind)) as active:
        active.files.write(name, b"x" * size)
        with active.commit() as ref:
            ref.finalize()
            return ref.id


def fates(manager: CacheManager, *policies: PrunePolicy) -> dict[str, tuple[bool, str]]:
    """Return for each ref if it goes, and the reason."""
    plan = manager.plan_prune(policies)
    return {each.info.id: (each.removed, each.reason) for each in plan.decisions}


def test_every_ref_has_a_reason(timed: CacheManager, clock: Clock) -> None:
    old = idle(timed, "old")
    internal = idle(timed, "internal", kind=RecordType.INTERNAL)
    clock.now += 3 * DAY
    used = made(timed, "used")
    child = made(timed, "child", used)
    recent = idle(timed, "recent")
    local = idle(timed, "local", kind=RecordType.LOCAL_SOURCE)
    used.release()
    clock.now += 7300
    found = fates(timed, PrunePolicy(["type==regular"], keep_duration=DAY))
    assert found == {
        old: (True, "not used for 3 days"),
        internal: (False, "its type is internal; use --all"),
        used.id: (False, "used 2 hours ago"),
        child.id: (False, "in use"),
        recent: (False, "used 2 hours ago"),
        local: (False, "used 2 hours ago"),
    }
    found = fates(timed, PrunePolicy(["type==regular"]))
    assert found[used.id] == (False, "in use")
    assert found[local] == (False, "no filter matches")
    assert usage(timed) == (2, 4)
    child.release()


def test_prune_does_what_the_plan_says(timed: CacheManager) -> None:
    for number in range(5):
        idle(timed, str(number))
    plan = timed.plan_prune([PrunePolicy()])
    assert [info.id for info in timed.prune([PrunePolicy()])] == [info.id for info in plan.victims]
    assert usage(timed) == (0, 0)


def test_the_least_used_refs_go_first(timed: CacheManager, clock: Clock) -> None:
    refs = []
    for number in range(4):
        refs.append(idle(timed, str(number), 100_000))
        clock.now += 10
    for _ in range(3):  # the first becomes the most often and most recently used
        clock.now += 10
        timed.get(refs[0]).release()
    size = timed.disk_usage()[0].size
    plan = timed.plan_prune([PrunePolicy(max_used=2 * size)])
    # at equality one more goes
    assert [info.id for info in plan.victims] == [refs[1], refs[2], refs[3]]
    plan = timed.plan_prune([PrunePolicy(max_used=2 * size + 1)])
    assert [info.id for info in plan.victims] == [refs[1], refs[2]]
    assert plan.decisions[-1].reason == f"no more than {2 * size + 1} bytes are used"


def test_quiet_uses_do_not_count(timed: CacheManager, clock: Clock) -> None:
    ref_id = idle(timed, "a")
    before = timed.metadata(ref_id)
    count, used = before.usage_count, before.last_used_at
    clock.now += 100
    timed.get(ref_id, RefOptions(update_last_used=False)).release()
    ref = timed.get(ref_id)
    clone = ref.clone()
    ref.release()
    after = timed.metadata(ref_id)
    assert (after.usage_count, after.last_used_at) == (count + 1, used + timedelta(seconds=100))  # type: ignore[operator]
    clock.now += 100
    clone.release()
    assert after.usage_count == count + 1
    assert after.last_used_at == datetime.fromtimestamp(clock.now - 100, UTC)


class Elsewhere:
    """Another program that has one chain of layers."""

    def __init__(self, *chain: Digest | None) -> None:
        self.chain = list(chain)

    def exists(self, ref_id: str, chain: Sequence[Digest]) -> bool:
        return list(chain) == self.chain


def test_shared_refs_stay_unless_all_go(manager: CacheManager) -> None:
    one, two = Blob({"1": "1"}), Blob({"2": "2"}, Compression.NONE)
    with (
        manager.get_by_blob(one.put(manager)) as base,
        manager.get_by_blob(two.put(manager), base) as top,
    ):
        pass
    other = idle(manager, "x")
    checker = Elsewhere(one.diff_id, two.diff_id)
    shared = [info.id for info in manager.disk_usage(["shared"], check=lambda: checker)]
    assert shared == [base.id, top.id]  # parents inherit
    assert [info.id for info in manager.prune([PrunePolicy()], check=lambda: checker)] == [other]
    assert len(manager.prune([PrunePolicy(all=True)], check=lambda: checker)) == 2


def test_disk_usage_by_filter_and_age(timed: CacheManager, clock: Clock) -> None:
    old = idle(timed, "a")
    clock.now += 100
    active = timed.new(options=RefOptions(description="work"))
    assert [info.id for info in timed.disk_usage(["mutable", "description==none"])] == [active.id]
    assert [info.id for info in timed.disk_usage(["inuse,description~=wo"])] == [active.id]
    assert [info.id for info in timed.disk_usage(age=50)] == [old, active.id]
    assert [info.id for info in timed.disk_usage(age=150)] == [active.id]
    assert timed.disk_usage(["mutable"])[0].size == 0


def test_a_retained_pair_is_one_victim(timed: CacheManager) -> None:
    active = timed.new(options=RETAIN)
    active.files.write("a", b"a")
    with active.commit():
        assert len(timed.disk_usage()) == 1
    (info,) = timed.disk_usage()
    assert (info.id, info.mutable, info.size > 0) == (active.id, True, True)
    assert len(timed.prune([PrunePolicy()])) == 1
    assert timed.store.records.all() == []
    assert not [*timed.store.root.glob("staging/*")]
