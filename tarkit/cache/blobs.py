"""Refs by their blobs: find or create one, and give a ref a blob."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.chains import Link, adds_layer, chain_values, indexes_of, layer_chain
from tarkit.cache.facts import RefKind, text_of
from tarkit.cache.ledger import with_options
from tarkit.cache.loading import check
from tarkit.cache.options import DescHandlers, RefOptions
from tarkit.errors import (
    BlobNotFoundError,
    NeedsRemoteProviderError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.store.record import Record, Value
from tarkit.store.records import Hold
from tarkit.values import replace


def get_by_blob(
    cache: Cache, descriptor: Descriptor, parent: Record | None, options: RefOptions
) -> Hold:
    """Return a reference to the ref with the layer *descriptor* on top of *parent*.

    If no ref has the same chain of blobs, create one. It shares the data of a ref with the same
    chain of layers, if one exists.
    """
    diff_id = diff_id_of(descriptor)
    known = cache.store.content.size(descriptor.digest) is not None
    if not known and descriptor.digest not in options.handlers:
        raise NeedsRemoteProviderError([descriptor.digest])
    if parent is not None:
        cache.finalize(parent, options.handlers)
        parent = cache.ledger.find(parent.id)
    ids = _chain_on(parent, descriptor.digest, diff_id)
    with cache.ledger.change():
        found = _with_same_blobs(cache, ids, options)
        return found or _create(cache, descriptor, diff_id, ids, parent, options)


def _chain_on(parent: Record | None, digest: Digest, diff_id: Digest) -> dict[str, str]:
    """Return the IDs of the chain with a layer on top of *parent*."""
    chain, blob_chain = "", ""
    if parent is not None:
        chain, blob_chain = (text_of(parent, key) for key in (facts.CHAIN, facts.BLOB_CHAIN))
        if not chain or not blob_chain:
            raise RefusedError(f"the ref {parent.id} has no blobs, so it has no chain ID")
    blob = facts.chained(str(digest), [str(diff_id)])
    return {
        facts.CHAIN: facts.chained(chain, [str(diff_id)]),
        facts.BLOB_CHAIN: facts.chained(blob_chain, [blob]),
    }


def _with_same_blobs(cache: Cache, ids: Mapping[str, str], options: RefOptions) -> Hold | None:
    """Return a reference to an existing ref with the same chain of blobs, or None."""
    index = facts.blob_chain_index(ids[facts.BLOB_CHAIN])
    for record in cache.ledger.records.find(index):
        check(cache, record.id)
        with suppress(NotFoundError), cache.ledger.change() as change:
            found, hold = cache.ledger.get(record.id, use=options.update_last_used)
            updated = with_options(found, options)
            if updated != found:
                change.put(updated)
            return hold
    return None


def _create(
    cache: Cache,
    descriptor: Descriptor,
    diff_id: Digest,
    ids: dict[str, str],
    parent: Record | None,
    options: RefOptions,
) -> Hold:
    """Create a ref, which shares the data of a ref with the same layers, if one exists."""
    values = {**_values(descriptor, diff_id, options), **ids, facts.SNAPSHOT: ids[facts.CHAIN]}
    contents = {str(descriptor.digest)} | cache.variants(diff_id)
    twins = cache.ledger.records.find(facts.chain_index(ids[facts.CHAIN]))
    if twins:
        twin = twins[0]
        values[facts.SNAPSHOT] = text_of(twin, facts.SNAPSHOT) or twin.id
        if text_of(twin, facts.LAYER):  # it has a layer of its own
            values[facts.LAYER] = text_of(twin, facts.LAYER)
            contents |= {item for item in twin.contents if item.startswith("layer:")}
    _, hold = cache.ledger.create(
        RefKind.BASE_LAYER if parent is None else RefKind.LAYER,
        options,
        parents=(parent.id,) if parent is not None else (),
        values=values,
        indexes=indexes_of(ids, str(diff_id)),
        contents=frozenset(contents),
        use=options.update_last_used,
    )
    return hold


def set_blob(cache: Cache, record: Record, descriptor: Descriptor) -> None:
    """Make a blob of the store the stored form of the layer of *record*."""
    diff_id = diff_id_of(descriptor)
    if cache.store.content.size(descriptor.digest) is None:
        raise BlobNotFoundError(f"blob {descriptor.digest} is missing", where=record.id)
    with cache.ledger.change() as change:
        current = cache.ledger.find(record.id)
        values = {**current.values, **_values(descriptor, diff_id, RefOptions())}
        items = {str(descriptor.digest)} | cache.variants(diff_id)
        change.put(_with_chain(cache, replace(current, values=values), items))


def keep_variant(cache: Cache, diff_id: Digest, digest: Digest, top: str) -> None:
    """Make all refs with the layer *diff_id*, and the ref *top*, keep its blob *digest*, too."""
    with cache.ledger.change() as change:
        same = cache.ledger.records.find(facts.diff_index(str(diff_id)))
        for record in (*same, cache.ledger.find(top)):
            if str(digest) not in record.contents:
                change.put(replace(record, contents=record.contents | {str(digest)}))


def update_chain(cache: Cache, record_id: str) -> None:
    """Compute the chain IDs of a ref again, after layers of it got blobs."""
    with cache.ledger.change() as change:
        record = cache.ledger.find(record_id)
        updated = _with_chain(cache, record, set())
        if updated != record:
            change.put(updated)


def diff_id_of(descriptor: Descriptor) -> Digest:
    """Return the diff ID of a layer; raises :class:`UsageError` unless an annotation states it."""
    text = descriptor.annotations.get(facts.UNCOMPRESSED)
    if not text:
        raise UsageError(
            f"the descriptor of {descriptor.digest} has no annotation {facts.UNCOMPRESSED}"
        )
    return Digest.parse(text)


def _values(descriptor: Descriptor, diff_id: Digest, options: RefOptions) -> dict[str, Value]:
    handlers: DescHandlers = options.handlers
    handler = handlers.get(descriptor.digest)
    annotations = {**descriptor.annotations, **(handler.annotations if handler else {})}
    values: dict[str, Value] = {
        facts.BLOB: str(descriptor.digest),
        facts.BLOB_SIZE: descriptor.size,
        facts.MEDIA_TYPE: descriptor.media_type,
        facts.DIFF_ID: str(diff_id),
        facts.ANNOTATIONS: [f"{key}={value}" for key, value in sorted(annotations.items())],
    }
    if descriptor.urls:
        values[facts.URLS] = list(descriptor.urls)
    if handler is not None and handler.location:
        values[facts.LOCATION] = handler.location
    return values


def _with_chain(cache: Cache, record: Record, items: set[str]) -> Record:
    """Return *record* with the IDs of its chain, and with *items* in its contents."""
    ids = _extended(cache, record) if adds_layer(record) else _computed(cache, record)
    own = text_of(record, facts.DIFF_ID)
    return replace(
        record,
        values={**record.values, **ids},
        indexes={**record.indexes, **indexes_of(ids, own)},
        contents=record.contents | items,
    )


def _extended(cache: Cache, record: Record) -> dict[str, str]:
    """Return the IDs of the chain of *record* from those of its parent."""
    parent = cache.ledger.find(record.parents[0])
    below = text_of(parent, facts.CHAIN), text_of(parent, facts.BLOB_CHAIN)
    return chain_values([Link(record, False)], below) if all(below) else _computed(cache, record)


def _computed(cache: Cache, record: Record) -> dict[str, str]:
    def find(record_id: str) -> Record:
        return record if record_id == record.id else cache.ledger.find(record_id)

    links = layer_chain(record, find)
    return chain_values([Link(find(link.record.id), link.moved) for link in links])
