"""Merges and diffs of refs: records only; their layers are read when they are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.chains import Link, chain_values, indexes_of, layer_chain, single_upper
from tarkit.cache.facts import RefKind, kind_of
from tarkit.cache.options import DescHandler, DescHandlers, RefOptions
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import UsageError
from tarkit.image.digest import Digest
from tarkit.store.record import Record
from tarkit.store.records import Hold


def merge(
    cache: Cache, refs: Sequence[ImmutableRef | None], options: RefOptions
) -> ImmutableRef | None:
    """Return the merge of *refs*; see :meth:`tarkit.cache.manager.CacheManager.merge`."""
    given = [ref for ref in refs if ref is not None]
    handlers = _all_handlers(given, options)
    if not given:
        return None
    for ref in given:
        ref.finalize()
    parents = [parent for ref in given for parent in _flattened(ref.record)]
    if len(parents) == 1:
        return given[0].clone()
    return ImmutableRef(cache, _create_merge(cache, parents, options), handlers)


def diff(
    cache: Cache, lower: ImmutableRef | None, upper: ImmutableRef | None, options: RefOptions
) -> ImmutableRef:
    """Return the difference of two refs; see :meth:`tarkit.cache.manager.CacheManager.diff`."""
    if lower is None:
        raise UsageError("the lower ref of a diff must not be None")
    given = [lower] if upper is None else [lower, upper]
    handlers = _all_handlers(given, options)
    for ref in given:
        ref.finalize()
    with ExitStack() as stack, cache.ledger.change():
        between = _between(cache, lower.record, upper.record) if upper is not None else []
        if len(between) < 2:
            above = upper.id if upper is not None else ""
            return ImmutableRef(cache, _create_diff(cache, lower.id, above, options), handlers)
        parts = []
        for link in between:
            below = link.record.parents[0] if link.record.parents else ""
            if below:
                hold = _create_diff(cache, below, link.record.id, RefOptions())
                stack.callback(cache.ledger.release, hold)
                parts.append(hold.record)
            else:
                parts.append(link.record.id)
        return ImmutableRef(cache, _create_merge(cache, parts, options), handlers)


def _between(cache: Cache, lower: Record, upper: Record) -> list[Link]:
    """Return the layers of *upper* above those of *lower*, or none if they do not begin alike."""
    below, above = (layer_chain(each, cache.ledger.find) for each in (lower, upper))
    below_ids = [link.record.id for link in below]
    if [link.record.id for link in above[: len(below)]] != below_ids:
        return []
    return above[len(below) :]


def _flattened(record: Record) -> Sequence[str]:
    return record.parents if kind_of(record) is RefKind.MERGE else (record.id,)


def _create_merge(cache: Cache, parents: Sequence[str], options: RefOptions) -> Hold:
    with cache.ledger.change():
        links = [
            link
            for parent in parents
            for link in layer_chain(cache.ledger.find(parent), cache.ledger.find)
        ]
        ids = chain_values(links)
        _, hold = cache.ledger.create(
            RefKind.MERGE, options, parents=tuple(parents), values=ids,
            indexes=indexes_of(ids, ""),
        )  # fmt: skip
        return hold


def _create_diff(cache: Cache, lower: str, upper: str, options: RefOptions) -> Hold:
    values = {facts.LOWER: lower, facts.UPPER: upper}
    ids: dict[str, str] = {}
    with cache.ledger.change():
        probe = Record("probe", {facts.KIND: RefKind.DIFF.value, **values})
        single = single_upper(probe, cache.ledger.find)
        if single is not None:
            ids = chain_values([single])
        _, hold = cache.ledger.create(
            RefKind.DIFF, options, parents=tuple(each for each in (lower, upper) if each),
            values={**values, **ids}, indexes=indexes_of(ids, ""),
        )  # fmt: skip
        return hold


def _all_handlers(refs: Iterable[ImmutableRef], options: RefOptions) -> DescHandlers:
    handlers: dict[Digest, DescHandler] = {}
    for ref in refs:
        handlers.update(ref.handlers)
    return {**handlers, **options.handlers}
