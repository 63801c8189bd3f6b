"""Remove records that an interrupted process, or lost data, left unusable."""

from __future__ import annotations

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.facts import text_of
from tarkit.store.record import Record


def check(cache: Cache, ref_id: str) -> None:
    """Check the ref *ref_id* and all refs that it depends on; remove broken ones.

    A committed ref whose mutable ref is gone is finalized. Asking for a removed ref then
    raises :class:`~tarkit.errors.NotFoundError`.
    """
    record = cache.ledger.records.get(ref_id)
    if record is None:
        cleanup(cache)
        return
    parents_are_sound = True
    for parent in dict.fromkeys(record.parents):
        check(cache, parent)
        parents_are_sound &= cache.ledger.records.get(parent) is not None
    if facts.is_mutable(record):
        partner = cache.ledger.partner(record)
        if partner is not None:
            _settle(cache, partner)
    elif text_of(record, facts.EQUAL_MUTABLE):
        record = _settle(cache, record)
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
