"""Disk usage: each ref with its size, its users, and its last use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Protocol

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.chains import layer_chain
from tarkit.cache.facts import RecordType, is_mutable, number_of, text_of
from tarkit.cache.filters import Filter
from tarkit.cache.loading import check_all
from tarkit.image.digest import Digest
from tarkit.store.record import Record
from tarkit.values import dataclass


class ExternalRefChecker(Protocol):
    """Finds layers that another program has, too: removing them here frees nothing."""

    def exists(self, ref_id: str, chain: Sequence[Digest]) -> bool:
        """Return True if the ref, or exactly its chain of diff IDs, exists elsewhere."""
        ...


ExternalRefCheckerFactory = Callable[[], ExternalRefChecker]
"""Returns a checker with the current state; called once for each disk usage or prune."""


@dataclass(frozen=True, slots=True)
class UsageInfo:
    """One ref: its size in bytes, its users and its metadata.

    ``in_use`` is true if a process uses it, or another ref in use depends on it. ``shared`` is true
    if another program has the same data. A mutable ref in use has size 0, since it still changes.

    >>> with tarkit.CacheManager.open("store") as manager, manager.new():
    ...     [(info.mutable, info.in_use, info.size) for info in manager.disk_usage()]
    [(True, True, 0)]
    """

    id: str
    mutable: bool
    in_use: bool
    size: int
    parents: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    usage_count: int
    description: str
    record_type: RecordType
    shared: bool

    def fields(self) -> Mapping[str, str]:
        """Return the values for filters; false values are missing."""
        true = {
            "inuse": self.in_use,
            "mutable": self.mutable,
            "immutable": not self.mutable,
            "shared": self.shared,
            "private": not self.shared,
        }
        texts = {
            "id": self.id,
            "parents": ";".join(self.parents),
            "description": self.description,
            "type": self.record_type.value,
        }
        return {
            **{key: "true" for key, value in true.items() if value},
            **{key: value for key, value in texts.items() if value},
        }


@dataclass(slots=True)
class Usage:
    """All refs at one moment, for disk usage and for prune.

    ``records`` has every ref that is listed: of a pair, the mutable one unless the other is held.
    ``references`` counts holds and children, ``children`` the children alone.
    """

    records: dict[str, Record] = field(default_factory=dict)
    partners: dict[str, Record] = field(default_factory=dict)
    references: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, int] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)

    @classmethod
    def read(
        cls,
        cache: Cache,
        checker: ExternalRefChecker | None = None,
        *,
        without: Collection[str] = (),
    ) -> Usage:
        """Return the current usage; broken records are removed first.

        The layers with the keys *without* do not count.
        """
        if cache.store.writable:
            cache.ledger.bury()
            check_all(cache)
        usage = cls()
        with cache.store.database.read():
            usage._read(cache, without)
        if checker is not None:
            usage._mark_shared(cache, checker)
        return usage

    def _read(self, cache: Cache, without: Collection[str]) -> None:
        every = {
            record.id: record
            for record in cache.ledger.records.all()
            if facts.CREATED in record.values
        }
        held = {hold.record for hold in cache.ledger.records.holds()}
        self.references.update(hold.record for hold in cache.ledger.records.holds())
        for record in every.values():
            self.references.update(record.parents)
        for record in every.values():
            mutable = every.get(text_of(record, facts.EQUAL_MUTABLE))
            if mutable is not None:
                shown, other = (record, mutable) if record.id in held else (mutable, record)
                self.partners[shown.id] = other
        hidden = {record.id for record in self.partners.values()}
        self.records = {key: value for key, value in every.items() if key not in hidden}
        sizes = _Sizes(cache, without)
        self.sizes = {key: sizes.of(record) for key, record in self.records.items()}
        for key in self.records:
            if is_mutable(self.records[key]) and key in held:
                self.sizes[key] = 0

    def used(self) -> set[str]:
        """Return the refs in use: those with references from anything but unused children."""
        left = Counter(self.references)
        pending = [key for key in self.records if left[key] <= 0]
        unused = set(pending)
        while pending:
            key = pending.pop()
            twice = 2 if key in self.partners else 1
            for parent in self.records[key].parents:
                left[parent] -= twice
                if left[parent] <= 0 and parent in self.records and parent not in unused:
                    unused.add(parent)
                    pending.append(parent)
        return set(self.records) - unused

    def infos(self) -> list[UsageInfo]:
        """Return all refs in the order of their creation."""
        used = self.used()
        return [self.info(key, in_use=key in used) for key in self.records]

    def info(self, key: str, *, in_use: bool = False) -> UsageInfo:
        """Return one ref."""
        record = self.records[key]
        used = number_of(record, facts.USED)
        return UsageInfo(
            key,
            is_mutable(record),
            in_use,
            self.sizes[key],
            tuple(record.parents),
            datetime.fromtimestamp(number_of(record, facts.CREATED), UTC),
            datetime.fromtimestamp(used, UTC) if used else None,
            int(number_of(record, facts.COUNT)),
            text_of(record, facts.DESCRIPTION),
            type_of(record),
            key in self.shared,
        )

    def _mark_shared(self, cache: Cache, checker: ExternalRefChecker) -> None:
        pending = [key for key in self.records if checker.exists(key, _diff_ids(cache, key))]
        while pending:
            key = pending.pop()
            if key in self.records and key not in self.shared:
                self.shared.add(key)
                pending += self.records[key].parents


def disk_usage(
    cache: Cache,
    filters: Sequence[str] = (),
    age: float = 0,
    checker: ExternalRefChecker | None = None,
) -> list[UsageInfo]:
    """Return the refs that match *filters* and were not used for *age* seconds."""
    matching = Filter.parse(filters)
    before = cache.ledger.clock() - age
    return [
        info
        for info in Usage.read(cache, checker).infos()
        if matching.matches(info.fields())
        and not (age and info.last_used_at and info.last_used_at.timestamp() > before)
    ]


def type_of(record: Record) -> RecordType:
    """Return the record type of a ref."""
    return RecordType(text_of(record, facts.RECORD_TYPE) or RecordType.REGULAR.value)


class _Sizes:
    """The sizes of blobs, layers and staged changes, read at once."""

    def __init__(self, cache: Cache, without: Collection[str]) -> None:
        database = cache.store.database
        self._blobs = dict(database.rows("SELECT digest, size FROM blobs"))
        self._layers = dict(database.rows("SELECT key, size FROM layers"))
        for key in without:
            self._layers.pop(key, None)
        self._snapshots = cache.snapshots

    def of(self, record: Record) -> int:
        """Return the bytes that belong to one record."""
        layer = text_of(record, facts.LAYER) or text_of(record, facts.DIFF_ID)
        size = self._layers.get(layer, 0)
        if not size and (is_mutable(record) or text_of(record, facts.EQUAL_MUTABLE)):
            size = self._snapshots.staged_size(record)
        return int(size) + int(self._blobs.get(text_of(record, facts.BLOB), 0))


def _diff_ids(cache: Cache, key: str) -> list[Digest]:
    record = cache.ledger.find(key)
    links = layer_chain(record, cache.ledger.find)
    found = [
        facts.digest_of(link.record, facts.DIFF_ID) or facts.digest_of(link.record, facts.LAYER)
        for link in links
    ]
    return [digest for digest in found if digest is not None]
