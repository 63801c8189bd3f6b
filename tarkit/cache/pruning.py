"""Prune: plan the removal of refs, with reasons; then carry it out.

A plan is made from the usage at one moment. Refs that are in use when it is carried out stay.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import field

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.facts import RecordType, is_mutable, number_of
from tarkit.cache.filters import Filter
from tarkit.cache.policies import DiskSpace, PrunePolicy, keep_bytes
from tarkit.cache.usage import ExternalRefChecker, Usage, UsageInfo, type_of
from tarkit.store.record import Record
from tarkit.values import dataclass

_BATCH = 100  # refs in one transaction, which other processes wait for
_PROTECTED = (RecordType.INTERNAL, RecordType.FRONTEND)


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one ref: ``removed`` or kept, and the ``reason`` in words."""

    info: UsageInfo
    removed: bool
    reason: str


@dataclass(slots=True)
class Plan:
    """The result of planning a prune: one decision for each ref, those to remove first, in order."""

    decisions: list[Decision] = field(default_factory=list)

    @property
    def victims(self) -> list[UsageInfo]:
        """The refs to remove, in order."""
        return [each.info for each in self.decisions if each.removed]


def plan(
    cache: Cache,
    policies: Sequence[PrunePolicy],
    checker: ExternalRefChecker | None = None,
    *,
    disk: DiskSpace | None = None,
    besides: int = 0,
    without: Collection[str] = (),
) -> Plan:
    """Plan the removal of refs.

    *besides* is the size of other content that counts as used, in bytes; layers with the keys
    *without* do not count.
    """
    usage = Usage.read(cache, checker, without=without)
    disk = disk or DiskSpace.of(cache.store.root)
    work = _Work(usage, cache.ledger.clock(), disk, besides)
    for number, policy in enumerate(policies, 1):
        work.apply(policy, number, len(policies))
    return work.plan()


def execute(cache: Cache, planned: Plan) -> list[UsageInfo]:
    """Remove the refs of a plan that are still not in use; return them."""
    gone: list[UsageInfo] = []
    victims = planned.victims
    for start in range(0, len(victims), _BATCH):
        with cache.ledger.change():
            batch = victims[start : start + _BATCH]
            gone += [info for info in batch if _remove(cache, info.id)]
    return gone


def _remove(cache: Cache, record_id: str) -> bool:
    """Remove a ref and its partner unless a process or another ref uses one of them."""
    records = cache.ledger.records
    record = records.get(record_id)
    if record is None:
        return False
    pair = [record, cache.ledger.partner(record)]
    for each in pair:
        if each is not None and (records.holds(each.id) or records.children(each.id)):
            return False
    for each in pair[::-1]:
        if each is not None:
            cache.ledger.remove(each.id, data=each is record)
    return True


class _Work:
    """A simulation of the removals on *usage*."""

    def __init__(self, usage: Usage, now: float, disk: DiskSpace, besides: int) -> None:
        self._usage = usage
        self._now = now
        self._disk = disk
        self._besides = besides
        self._references = Counter(usage.references)
        self._used = usage.used()
        self._left = dict(usage.records)
        self._removed: list[Decision] = []
        self._kept: dict[str, str] = {}

    def apply(self, policy: PrunePolicy, number: int, count: int) -> None:
        """Decide by one policy; the last one gives the reasons to keep."""
        total = self._besides + sum(
            self._usage.sizes[key] for key in self._left if key not in self._usage.shared
        )
        keep = keep_bytes(total, self._disk, policy) if policy.has_limit else 0
        step = f"policy {number}: " if count > 1 else ""
        candidates = {key for key in self._left if self._objection(key, policy) is None}
        order = _Order(self._left[key] for key in candidates)
        heap = [order.key(self._left[key]) for key in candidates if self._is_free(key)]
        heapq.heapify(heap)
        while heap and not (policy.has_limit and total < keep):
            key = heapq.heappop(heap)[-1]
            total -= self._usage.sizes[key]
            self._remove(key, step + _reason(policy, self._left[key], self._now, keep))
            for parent in dict.fromkeys(self._usage.records[key].parents):
                if parent in candidates and parent in self._left and self._is_free(parent):
                    heapq.heappush(heap, order.key(self._left[parent]))
        self._kept = {
            key: self._objection(key, policy) or self._why_used(key) or _within(policy, keep)
            for key in self._left
        }

    def plan(self) -> Plan:
        """Return all decisions."""
        used = self._used
        kept = (
            Decision(self._usage.info(key, in_use=key in used), False, reason)
            for key, reason in self._kept.items()
        )
        return Plan([*self._removed, *kept])

    def _is_free(self, key: str) -> bool:
        return self._references[key] <= 0

    def _objection(self, key: str, policy: PrunePolicy) -> str | None:
        """Return the reason of *policy* to keep a ref even if nothing uses it, or None."""
        record = self._left[key]
        if not policy.all:
            if type_of(record) in _PROTECTED:
                return f"its type is {type_of(record).value}; use --all"
            if key in self._usage.shared:
                return "another program has the same data, so nothing would be freed"
        used = number_of(record, facts.USED)
        if policy.keep_duration and used > self._now - policy.keep_duration:
            return f"used {_duration(self._now - used)} ago"
        if not Filter.parse(policy.filters).matches(self._usage.info(key).fields()):
            return "no filter matches"
        return None

    def _why_used(self, key: str) -> str | None:
        if self._is_free(key):
            return None
        return "in use" if key in self._used else "another ref that is kept depends on it"

    def _remove(self, key: str, reason: str) -> None:
        record = self._left.pop(key)
        self._removed.append(Decision(self._usage.info(key), True, reason))
        for parent in record.parents:
            self._references[parent] -= 2 if key in self._usage.partners else 1


class _Order:
    """The order of removal: rarely used refs whose last use is long ago come first.

    Both criteria count equally, by rank among all refs that may be removed.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        listed = list(records)
        self._times = _ranks(number_of(record, facts.USED) for record in listed)
        self._counts = _ranks(number_of(record, facts.COUNT) for record in listed)

    def key(self, record: Record) -> tuple[float, float, str]:
        """Return the key for sorting records, with the ID at its end."""
        used, count = number_of(record, facts.USED), number_of(record, facts.COUNT)
        return self._times[used] + self._counts[count], number_of(record, facts.CREATED), record.id


def _ranks(values: Iterator[float] | Iterable[float]) -> dict[float, float]:
    ordered = sorted(set(values))
    return {value: rank / max(len(ordered) - 1, 1) for rank, value in enumerate(ordered)}


def _reason(policy: PrunePolicy, record: Record, now: float, keep: int) -> str:
    used = number_of(record, facts.USED)
    idle = f"not used for {_duration(now - used)}" if used else "never used"
    kind = "mutable, " if is_mutable(record) else ""
    return f"{kind}{idle}; more than {keep} bytes are used" if policy.has_limit else kind + idle


def _within(policy: PrunePolicy, keep: int) -> str:
    return f"no more than {keep} bytes are used" if policy.has_limit else "kept"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} seconds"
