"""Export of keys as a cache config."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from tarkit.solver.keys.config import (
    CacheChain,
    CacheConfig,
    CacheInput,
    CacheLayer,
    CacheRecord,
    CacheResult,
)
from tarkit.solver.keys.stores import KeyStore, Link, Result, StoredKey
from tarkit.values import replace

Layers = Callable[[StoredKey, Result], Sequence[str] | None]
"""Returns the blobs of a result, lowest first; None if the cache shall not have it."""

_Chain = tuple[str, ...]


def export_config(store: KeyStore, roots: Iterable[str], layers: Layers) -> CacheConfig:
    """Return the keys with the IDs *roots*, and all keys below, as a cache config.

    *layers* is asked for the newest result of each key with inputs, then for older ones while it
    returns None: keys without inputs have no layers. Links that would make a cycle are dropped, then
    keys that have an input without any link. The config is sorted.
    """
    keys = _complete(_inputs_first(store, roots), roots)
    chains = {key.id: _newest(key, layers) for key in keys.values() if key.inputs}
    placed = _placed_layers(chain for found in chains.values() if found for chain in found[:1])
    numbers = {key.id: number for number, key in enumerate(_sorted(keys))}
    records = []
    for key_id in numbers:
        found = chains.get(key_id)
        results = (CacheResult(placed[found[0]][0], found[1]),) if found else ()
        inputs = [
            tuple(sorted(CacheInput(numbers[link.source], link.selector) for link in links))
            for links in keys[key_id].inputs
        ]
        records.append(CacheRecord(keys[key_id].record, tuple(inputs), results))
    return CacheConfig(tuple(layer for _, layer in placed.values()), tuple(records))


def inline_config(config: CacheConfig, blobs: Sequence[str]) -> CacheConfig:
    """Return *config* for an image with these *blobs* as layers, which its indices then mean.

    A result is a list of layers if it is not the first ones of the image in order, and is left out
    if the image lacks one.
    """
    indices = {blob: number for number, blob in reversed(list(enumerate(blobs)))}
    layers = tuple(CacheLayer(blob, number - 1) for number, blob in enumerate(blobs))
    return CacheConfig(
        layers, tuple(_inline(config, record, blobs, indices) for record in config.records)
    )


def _inline(
    config: CacheConfig, record: CacheRecord, blobs: Sequence[str], indices: Mapping[str, int]
) -> CacheRecord:
    results, chains = [], []
    for result in record.layers:
        wanted = _blobs(config, result.layer)
        if wanted == list(blobs[: len(wanted)]):
            results.append(replace(result, layer=len(wanted) - 1))
        elif indices.keys() >= set(wanted):
            chains.append(CacheChain(tuple(indices[blob] for blob in wanted), result.created))
    return replace(record, layers=tuple(results), chains=tuple(chains))


def _blobs(config: CacheConfig, top: int) -> list[str]:
    """Return the blobs of a layer and its parents, lowest first."""
    found = []
    while top != -1:
        found.append(config.layers[top].blob)
        top = config.layers[top].parent
    return found[::-1]


def _inputs_first(store: KeyStore, roots: Iterable[str]) -> list[StoredKey]:
    """Return the keys from *roots* downwards, inputs first, without links that lead back or nowhere."""
    done: dict[str, StoredKey] = {}
    entered: dict[str, StoredKey] = {}
    stack = sorted(roots, reverse=True)
    while stack:
        key_id = stack[-1]
        key = entered.get(key_id)
        if key is None and (key := store.get(key_id)) is not None:
            entered[key_id] = key
            stack.extend(
                link.source
                for links in reversed(key.inputs)
                for link in sorted(links, reverse=True)
                if link.source not in entered
            )
            continue
        stack.pop()
        if key is not None and key_id not in done:
            done[key_id] = _linked(key, done)
    return list(done.values())


def _complete(keys: Iterable[StoredKey], roots: Iterable[str]) -> dict[str, StoredKey]:
    """Return the keys whose inputs all have a link, as far as *roots* lead to them.

    *keys* are sorted with inputs first.
    """
    complete: dict[str, StoredKey] = {}
    for key in keys:
        linked = _linked(key, complete)
        if all(linked.inputs):
            complete[key.id] = linked
    wanted = {root for root in roots if root in complete}
    for key in reversed(complete.values()):
        if key.id in wanted:
            wanted.update(link.source for links in key.inputs for link in links)
    return {key_id: key for key_id, key in complete.items() if key_id in wanted}


def _linked(key: StoredKey, known: Mapping[str, StoredKey]) -> StoredKey:
    """Return *key* with only those links that lead to *known* keys."""
    kept = (frozenset(link for link in links if link.source in known) for links in key.inputs)
    return replace(key, inputs=tuple(kept))


def _newest(key: StoredKey, layers: Layers) -> tuple[_Chain, int] | None:
    """Return the blobs and time of the newest result that has layers."""
    for result in sorted(key.results, key=lambda result: (-result.created, result.id)):
        blobs = layers(key, result)
        if blobs:
            return tuple(blobs), result.created
    return None


def _sorted(keys: Mapping[str, StoredKey]) -> list[StoredKey]:
    """Return keys in the order of records."""

    def links(of: frozenset[Link]) -> list[tuple[str, str]]:
        return sorted((link.selector, keys[link.source].record) for link in of)

    def order(key: StoredKey) -> tuple[object, ...]:
        alternatives = [links(each) for each in key.inputs]
        return (
            key.record,
            len(alternatives),
            [len(each) for each in alternatives],
            alternatives,
            key.id,
        )

    return sorted(keys.values(), key=order)


def _placed_layers(chains: Iterable[_Chain]) -> dict[_Chain, tuple[int, CacheLayer]]:
    """Return the index and layer of each chain and each part of it from below, sorted by blob."""
    parts = {chain[:length] for chain in chains for length in range(1, len(chain) + 1)}
    ordered = sorted(parts, key=lambda chain: (chain[-1], chain))
    numbers = {chain: number for number, chain in enumerate(ordered)}
    return {
        chain: (number, CacheLayer(chain[-1], numbers.get(chain[:-1], -1)))
        for chain, number in numbers.items()
    }
