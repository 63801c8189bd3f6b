"""Remove records that an interrupted process, or lost data, left unusable."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.facts import text_of
from tarkit.store.record import Record


def check(cache: Cache, ref_id: str) -> None:
    """Check the ref *ref_id* and all refs that it depends on; remove broken ones.

    A committed ref whose mutable ref is gone is finalized. Asking for a removed ref then
    raises :class:`~tarkit.errors.NotFoundError`. The refs below are checked once, since those above keep them.
    """
    if cache.ledger.records.get(ref_id) is None:
        cleanup(cache)
        return
    cache.sound.discard(ref_id)
    for each in _parents_first(cache, ref_id):
        _check_one(cache, each)
        cache.sound.add(each)


def _parents_first(cache: Cache, ref_id: str) -> Iterator[str]:
    """Yield the refs to check, each after all that it depends on; chains may be long."""
    seen = set(cache.sound)
    pending = [(ref_id, False)]
    while pending:
        current, are_parents_done = pending.pop()
        if are_parents_done:
            yield current
        elif current not in seen:
            seen.add(current)
            record = cache.ledger.records.get(current)
            pending.append((current, True))
            pending += [(parent, False) for parent in (record.parents if record else ())]


def _check_one(cache: Cache, ref_id: str) -> None:
    """Check a ref whose parents have been checked."""
    records = cache.ledger.records
    record = records.get(ref_id)
    if record is None:
        return
    if facts.is_mutable(record):
        partner = cache.ledger.partner(record)
        if partner is not None:
            _settle(cache, partner)
    elif text_of(record, facts.EQUAL_MUTABLE):
        record = _settle(cache, record)
    parents_are_sound = all(records.get(parent) is not None for parent in record.parents)
    if not parents_are_sound or cache.snapshots.is_broken(record):
        cache.ledger.remove(ref_id)


def _settle(cache: Cache, record: Record) -> Record:
    """Complete the finalization of a committed ref if its mutable ref, or the staged changes, are gone."""
    mutable = cache.ledger.partner(record)
    has_layer = cache.snapshots.layer_of(record) is not None
    if mutable is not None and not (has_layer and cache.snapshots.is_broken(mutable, staged=True)):
        return record
    if not has_layer and cache.snapshots.staging(record).is_dir():
        return record  # the database was rebuilt: the layer will be written from the staged changes
    with cache.ledger.change() as change:
        if mutable is not None:
            change.remove(mutable.id)
        return change.update(record.id, {facts.EQUAL_MUTABLE: None}, {facts.EQUAL_MUTABLE: None})


def cleanup(cache: Cache) -> None:
    """Remove the records whose removal was interrupted."""
    if cache.ledger.records.deleted():
        with cache.ledger.change() as change:
            for record in cache.ledger.records.deleted():
                change.remove(record.id)


def check_all(cache: Cache) -> None:
    """Check all refs as :func:`check` does, and remove staged changes that belong to none."""
    cleanup(cache)
    records = cache.ledger.records
    sound = {record.id: record for record in records.all() if facts.CREATED in record.values}
    for record in list(sound.values()):
        if text_of(record, facts.EQUAL_MUTABLE):
            sound[record.id] = _settle(cache, record)
    # parents are older than their children, so one pass is enough
    broken = []
    for record in list(sound.values()):
        if any(parent not in sound for parent in record.parents) or (
            cache.snapshots.is_broken(record)
        ):
            del sound[record.id]
            broken.append(record.id)
    for record_id in reversed(broken):
        check(cache, record_id)
    cache.snapshots.tidy()
