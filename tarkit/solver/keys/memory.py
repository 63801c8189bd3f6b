"""A store of keys in memory: for one build, and for imported caches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from contextlib import AbstractContextManager, nullcontext

from tarkit.solver.keys.stores import Link, Slot, StoredKey

_Place = tuple[Slot, Link]


class MemoryStore:
    """A :class:`~tarkit.solver.keys.stores.KeyStore` in memory; use it from one thread at a time."""

    def __init__(self) -> None:
        self._keys: dict[str, StoredKey] = {}
        self._by_link: defaultdict[_Place, set[str]] = defaultdict(set)
        self._by_source: defaultdict[str, set[str]] = defaultdict(set)
        self._by_result: defaultdict[str, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def transaction(self) -> AbstractContextManager[object]:
        """Return a context without effect: changes are immediate."""
        return nullcontext()

    def get(self, key_id: str) -> StoredKey | None:
        """Return a key, or None if it is missing."""
        return self._keys.get(key_id)

    def find(self, slot: Slot, link: Link) -> Set[str]:
        """Return the IDs of keys that have *link* as an alternative for the input *slot*."""
        return self._by_link.get((slot, link), frozenset())

    def put(self, key: StoredKey) -> None:
        """Store *key*, replacing the one with its ID."""
        self.remove(key.id)
        self._keys[key.id] = key
        for slot, link in key.places():
            self._by_link[slot, link].add(key.id)
            self._by_source[link.source].add(key.id)
        for result in key.results:
            self._by_result[result.id].add(key.id)

    def remove(self, key_id: str) -> None:
        """Remove a key; do nothing if it is missing."""
        key = self._keys.pop(key_id, None)
        if key is None:
            return
        for slot, link in key.places():
            self._by_link[slot, link].discard(key_id)
            self._by_source[link.source].discard(key_id)
        for result in key.results:
            self._by_result[result.id].discard(key_id)

    def consumers(self, key_id: str) -> Iterable[str]:
        """Return the IDs of keys that have this one as an alternative for an input."""
        return self._by_source.get(key_id, ())

    def having(self, result_id: str) -> Iterable[str]:
        """Return the IDs of keys with this result."""
        return frozenset(self._by_result.get(result_id, ()))
