"""The states of refs, and the only code that changes them; every change is one transaction.

::

    state       record                                    get          get_mutable
    held        mutable, in use                           locked       locked
    idle        mutable, not in use                       commits it   the same ref
    committed   immutable, shares data with a mutable     a reference  not mutable
    finalized   immutable, has data of its own            a reference  not mutable

A committed ref and its mutable ref are a pair. While a process that committed uses the pair, the
mutable ref is locked; later ``get`` of the mutable ref returns the immutable one, and
``get_mutable`` removes the immutable ref if it is unused. ``finalize`` removes the mutable ref.
Releasing the last reference of a pair releases the mutable ref: with the default policy, both
disappear.

References are holds in the database. Those of ended processes are released when they are found.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum

from tarkit.cache import facts
from tarkit.cache.facts import CachePolicy, RefKind
from tarkit.cache.options import RefOptions
from tarkit.errors import LockedError, NotFoundError, RefusedError
from tarkit.store.record import Record, Value
from tarkit.store.records import Hold, Transaction
from tarkit.store.store import Store
from tarkit.values import replace

_USE, _QUIET = "use", "quiet"  # notes of holds: the end of the first kind counts as a use


class RefState(Enum):
    """The state of a ref."""

    HELD = "held"
    IDLE = "idle"
    COMMITTED = "committed"
    FINALIZED = "finalized"


class Ledger:
    """The records of *store* as refs; *clock* returns the time in seconds since the epoch.

    *drop* is called, after the transaction, with each record that was removed with its data.
    """

    def __init__(
        self, store: Store, clock: Callable[[], float], drop: Callable[[Record], object]
    ) -> None:
        self.records = store.records
        self.clock = clock
        self._drop = drop
        self._dropped: list[Record] = []
        self._depth = 0

    @contextmanager
    def change(self) -> Iterator[Transaction]:
        """Begin a transaction; nested ones belong to the outermost."""
        with self.records.transaction() as change:
            first, self._depth = not self._depth, self._depth + 1
            try:
                yield change
            except BaseException:
                if first:
                    self._dropped.clear()
                raise
            finally:
                self._depth -= 1
            dropped, self._dropped = (self._dropped, []) if first else ([], self._dropped)
        if dropped:  # after the commit, so that no record can miss its data
            with self.records.transaction():
                for record in dropped:
                    self._drop(record)

    # queries, inside a transaction or not

    def find(self, record_id: str) -> Record:
        """Return the record of a ref; raises :class:`NotFoundError`."""
        record = self.records.get(record_id)
        if record is None or facts.CREATED not in record.values:
            raise NotFoundError(f"no ref {record_id!r}")
        return record

    def partner(self, record: Record) -> Record | None:
        """Return the other ref of a pair, or None."""
        if facts.is_mutable(record):
            found = self.records.find(facts.mutable_index(record.id))
            return found[0] if found else None
        mutable = facts.text_of(record, facts.EQUAL_MUTABLE)
        return self.records.get(mutable) if mutable else None

    def state(self, record: Record) -> RefState:
        """Return the state of a ref."""
        if facts.is_mutable(record):
            return RefState.HELD if self.records.holds(record.id) else RefState.IDLE
        return RefState.COMMITTED if self.partner(record) is not None else RefState.FINALIZED

    # transitions

    def create(
        self,
        kind: RefKind,
        options: RefOptions,
        *,
        parents: tuple[str, ...] = (),
        mutable: bool = False,
        values: Mapping[str, Value] | None = None,
        indexes: Mapping[str, str] | None = None,
        contents: frozenset[str] = frozenset(),
        use: bool = True,
    ) -> tuple[Record, Hold]:
        """Create a ref, and a reference to it."""
        created = options.created_at.timestamp() if options.created_at else self.clock()
        record = Record(
            new_id(),
            {facts.KIND: kind.value, facts.CREATED: created, **(values or {})},
            indexes or {},
            parents,
            contents,
            committed=not mutable,
        )
        if mutable:
            record = replace(record, values={**record.values, facts.MUTABLE: True})
        record = with_options(record, options)
        with self.change() as change:
            for parent in parents:
                change.get(parent)
            change.put(record)
            return record, change.hold(record.id, _USE if use else _QUIET)

    def get(self, record_id: str, *, use: bool = True) -> tuple[Record, Hold]:
        """Return an immutable ref and a new reference to it; commits an idle mutable ref.

        Raises :class:`NotFoundError`, and :class:`LockedError` if it is mutable and in use.
        """
        with self.change() as change:
            self.bury(record_id)
            record = self.find(record_id)
            match self.state(record):
                case RefState.HELD:
                    raise LockedError(f"the ref {record_id} is in use")
                case RefState.IDLE:
                    partner = self.partner(record)
                    if partner is None:
                        hold = change.hold(record.id, _USE if use else _QUIET)
                        return self.commit(hold)
                    record = partner
            return record, change.hold(record.id, _USE if use else _QUIET)

    def get_mutable(self, record_id: str) -> tuple[Record, Hold]:
        """Return an idle mutable ref and a reference to it; its immutable partner disappears.

        Raises :class:`NotFoundError`, :class:`LockedError` if it or its partner is in use, and
        :class:`RefusedError` if it is not mutable.
        """
        with self.change() as change:
            self.bury(record_id)
            record = self.find(record_id)
            if not facts.is_mutable(record):
                raise RefusedError(f"the ref {record_id} is not mutable")
            partner = self.partner(record)
            if partner is not None:
                self.bury(partner.id)
                partner = self.partner(record)
            if self.records.holds(record_id) or (partner and self.records.holds(partner.id)):
                raise LockedError(f"the ref {record_id} is in use")
            if partner is not None:
                change.remove(partner.id)
            return record, change.hold(record_id, _USE)

    def commit(self, hold: Hold, values: Mapping[str, Value] | None = None) -> tuple[Record, Hold]:
        """Create the immutable partner of a mutable ref, and a reference to it.

        *hold*, the reference to the mutable ref, stays: it ends with the last one to the partner.
        *values* are changed in both.
        """
        with self.change() as change:
            mutable = self.find(hold.record)
            if values:
                mutable = change.update(mutable.id, values)
            kept = {
                key: value for key, value in mutable.values.items() if key not in _OWN_TO_MUTABLES
            }
            record = Record(
                new_id(),
                {**kept, facts.CREATED: self.clock(), facts.EQUAL_MUTABLE: mutable.id},
                {facts.EQUAL_MUTABLE: facts.mutable_index(mutable.id)},
                mutable.parents,
                mutable.contents,
                committed=True,
            )
            change.put(record)
            return record, change.hold(record.id, hold.note)

    def finalize(self, record_id: str) -> None:
        """Make a committed ref independent of its mutable ref, which disappears."""
        with self.change() as change:
            record = self.find(record_id)
            mutable = self.partner(record)
            if facts.is_mutable(record) or not facts.text_of(record, facts.EQUAL_MUTABLE):
                return
            if mutable is not None:
                change.remove(mutable.id)
            change.update(record_id, {facts.EQUAL_MUTABLE: None}, {facts.EQUAL_MUTABLE: None})

    def clone(self, hold: Hold) -> Hold:
        """Return another reference to the same ref, which does not count as a use."""
        with self.change() as change:
            return change.hold(hold.record, _QUIET)

    def release(self, hold: Hold) -> None:
        """End a reference; do nothing if it has ended."""
        with self.change():
            record = self.records.get(hold.record)
            if record is None or hold.id not in {each.id for each in self._all_holds(hold.record)}:
                return
            self._end(record, hold)

    def bury(self, record_id: str | None = None) -> None:
        """Release the references of ended processes, to one ref or to all."""
        dead = self.records.dead_holds()
        if dead:
            with self.change():
                for hold in dead:
                    if record_id in (None, hold.record):
                        self.release(hold)

    def remove(self, record_id: str, *, data: bool = True) -> None:
        """Remove a ref, with its data unless its partner has the same."""
        with self.change() as change:
            record = self.records.get(record_id)
            if record is not None:
                change.remove(record_id)
                if data:
                    self._dropped.append(record)
                for parent in map(self.records.get, dict.fromkeys(record.parents)):
                    if parent is not None and not facts.is_mutable(parent):
                        self._unused(parent)

    def _all_holds(self, record_id: str) -> list[Hold]:
        return self.records.every_hold(record_id)

    def _end(self, record: Record, hold: Hold) -> None:
        with self.change() as change:
            change.release(hold)
            left = self.records.holds(record.id)
            if hold.note == _USE and not any(each.note == _USE for each in left):
                self._count_use(record)
            if not left:
                self._unused(record)

    def _unused(self, record: Record) -> None:
        """Release the mutable ref of a pair if nothing needs the pair any more."""
        if not self.records.holds(record.id) and not self.records.children(record.id):
            mutable = record if facts.is_mutable(record) else self.partner(record)
            if mutable is not None:
                self._release_mutable(mutable)

    def _release_mutable(self, mutable: Record) -> None:
        """Apply the policy of a mutable ref that is no longer in use."""
        with self.change() as change:
            partner = self.partner(mutable)
            if partner is not None and self.records.holds(partner.id):
                return  # the process that committed it has ended, and another uses the result
            change.release(*self._all_holds(mutable.id))
            if policy_of(mutable) is CachePolicy.RETAIN:
                return
            if partner is not None:
                if policy_of(partner) is CachePolicy.RETAIN:
                    return
                self.remove(partner.id, data=False)
            self.remove(mutable.id)

    def _count_use(self, record: Record) -> None:
        with self.change() as change:
            for each in (record, self.partner(record)):
                if each is not None:
                    count = int(facts.number_of(each, facts.COUNT)) + 1
                    change.update(
                        each.id, {facts.USED: self.clock(), facts.COUNT: count}, lasting=False
                    )


_OWN_TO_MUTABLES = frozenset({facts.MUTABLE, facts.POLICY, facts.USED, facts.COUNT})


def policy_of(record: Record) -> CachePolicy:
    """Return the policy of a ref."""
    return CachePolicy(facts.text_of(record, facts.POLICY) or CachePolicy.DEFAULT.value)


def with_options(record: Record, options: RefOptions) -> Record:
    """Return *record* with the metadata that *options* state."""
    values = dict(record.values)
    if options.description:
        values[facts.DESCRIPTION] = options.description
    if options.record_type is not None:
        values[facts.RECORD_TYPE] = options.record_type.value
    if options.policy is not None:
        values[facts.POLICY] = options.policy.value
    if options.layer_type:
        values[facts.LAYER_TYPE] = options.layer_type
    if options.image_ref:
        names = facts.texts_of(record, facts.IMAGE_REFS)
        values[facts.IMAGE_REFS] = [*dict.fromkeys([*names, options.image_ref])]
    return replace(record, values=values)


def new_id() -> str:
    """Return a new ID of a ref; it is never all digits."""
    return f"r{os.urandom(12).hex()}"


def now() -> float:
    """Return the time in seconds since the epoch."""
    return time.time()
