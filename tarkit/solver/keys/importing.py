"""Import of cache configs: their keys in a store, and the layers of their results."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

from tarkit.errors import MalformedError
from tarkit.solver.keys.config import CacheConfig, CacheRecord
from tarkit.solver.keys.digests import text_digest
from tarkit.solver.keys.memory import MemoryStore
from tarkit.solver.keys.stores import Link, Result, unite


class ImportedCache:
    """The keys of imported caches, in ``store``, and the blobs of their results."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._tops: dict[str, _Chain] = {}

    def blobs(self, result_id: str) -> list[str] | None:
        """Return the digests of the blobs of a result, lowest first; None if it is unknown."""
        chain = self._tops.get(result_id)
        return list(chain.blobs())[::-1] if chain is not None else None

    def add(
        self, config: CacheConfig, available: Container[str], *, where: str | None = None
    ) -> None:
        """Add the keys of *config*, and those of its results whose blobs are all *available*.

        Two records of one key become one. Raises MalformedError, before anything is added, if an
        index is out of range, records or layers depend on each other, or an input has no alternative;
        BuildKit ignores such a cache.
        """
        order = _sorted(config.records, where)
        results = _results(config, available, where)
        ids: dict[int, str] = {}
        for number in order:
            record = config.records[number]
            inputs = [{Link(i.selector, ids[i.link]) for i in links} for links in record.inputs]
            ids[number] = unite(self.store, record.digest, inputs)
            for chain, created in results[number]:
                self._tops[chain.id] = chain
                unite(self.store, record.digest, inputs, Result(chain.id, created))


class _Chain:
    """A blob on top of another chain; the ID is like a chain ID, over blobs."""

    def __init__(self, blob: str, parent: _Chain | None, available: Container[str]) -> None:
        self.blob, self.parent = blob, parent
        self.id: str = text_digest(f"{parent.id if parent else ''} {blob}")
        self.is_available: bool = blob in available and (parent is None or parent.is_available)

    def blobs(self) -> Iterator[str]:
        """Yield the digests of the blobs, the top first."""
        chain: _Chain | None = self
        while chain is not None:
            yield chain.blob
            chain = chain.parent


def _sorted(records: Sequence[CacheRecord], where: str | None) -> list[int]:
    """Return the indices of *records*, inputs first."""
    for number, record in enumerate(records):
        if not all(record.inputs):
            raise MalformedError(f"cache config: an input of record {number} is empty", where=where)
        for link in (each.link for links in record.inputs for each in links):
            _check_index(link, records, "record", where)
    below = {
        number: {each.link for links in record.inputs for each in links}
        for number, record in enumerate(records)
    }
    try:
        return list(TopologicalSorter(below).static_order())
    except CycleError:
        raise MalformedError("cache config: records depend on each other", where=where) from None


def _results(
    config: CacheConfig, available: Container[str], where: str | None
) -> list[list[tuple[_Chain, int]]]:
    """Return the available results of each record, and their times."""
    chains: dict[int, _Chain] = {}
    found = []
    for record in config.records:
        results = [
            (_chain(config, r.layer, chains, available, where), r.created) for r in record.layers
        ]
        for listed in record.chains:
            chain = None
            for layer in listed.layers:
                _check_index(layer, config.layers, "layer", where)
                chain = _Chain(config.layers[layer].blob, chain, available)
            if chain is not None:
                results.append((chain, listed.created))
        found.append([(chain, created) for chain, created in results if chain.is_available])
    return found


def _chain(
    config: CacheConfig,
    top: int,
    chains: dict[int, _Chain],
    available: Container[str],
    where: str | None,
) -> _Chain:
    """Return the chain that ends with a layer; *chains* has those made before."""
    path: dict[int, None] = {}
    layer = top
    while layer != -1 and layer not in chains:
        _check_index(layer, config.layers, "layer", where)
        if layer in path:
            raise MalformedError("cache config: layers depend on each other", where=where)
        path[layer] = None
        layer = config.layers[layer].parent
    for layer in reversed(path):
        parent = chains.get(config.layers[layer].parent)
        chains[layer] = _Chain(config.layers[layer].blob, parent, available)
    if top not in chains:
        raise MalformedError(f"cache config: no layer {top}", where=where)
    return chains[top]


def _check_index(index: int, values: Sequence[object], name: str, where: str | None) -> None:
    if not 0 <= index < len(values):
        raise MalformedError(f"cache config: no {name} {index}", where=where)
