"""Stores of keys: their abilities, and the rule that equal keys become one with all their links."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import field
from typing import Protocol

from tarkit.solver.keys.digests import text_digest
from tarkit.solver.keys.gojson import go_json
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True, order=True)
class Link:
    """An alternative for an input of a stored key: the ID of the input's key, and a selector."""

    selector: str
    source: str


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of keys with the same record digest and number of inputs."""

    record: str
    position: int
    count: int


@dataclass(frozen=True, slots=True)
class Result:
    """A result of an operation: the ``id`` of a ref, and ``created`` in nanoseconds since the epoch."""

    id: str
    created: int


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key in a store.

    - ``id``: private to the store, except that a key without inputs has its record digest as its ID.
    - ``record``: the record digest.
    - ``inputs``: for each input, all its known alternatives.
    - ``results``: may be empty: the key is then only part of others.
    """

    id: str
    record: str
    inputs: tuple[frozenset[Link], ...] = ()
    results: frozenset[Result] = field(default_factory=frozenset)

    def places(self) -> Iterator[tuple[Slot, Link]]:
        """Yield each alternative with the input it stands for, in a fixed order."""
        for position, links in enumerate(self.inputs):
            slot = Slot(self.record, position, len(self.inputs))
            yield from ((slot, link) for link in sorted(links))


class KeyStore(Protocol):
    """Remembers keys; :mod:`~tarkit.solver.keys.memory` and :mod:`~tarkit.solver.keys.kept` do."""

    def transaction(self) -> AbstractContextManager[object]:
        """Return a context in which all changes take effect together; contexts nest."""

    def get(self, key_id: str) -> StoredKey | None:
        """Return a key, or None if it is missing."""

    def find(self, slot: Slot, link: Link) -> Set[str]:
        """Return the IDs of keys that have *link* as an alternative for the input *slot*."""

    def put(self, key: StoredKey) -> None:
        """Store *key*, replacing the one with its ID."""

    def remove(self, key_id: str) -> None:
        """Remove a key; do nothing if it is missing."""

    def consumers(self, key_id: str) -> Iterable[str]:
        """Return the IDs of keys that have this one as an alternative for an input."""

    def having(self, result_id: str) -> Iterable[str]:
        """Return the IDs of keys with this result."""


def matching(store: KeyStore, record: str, inputs: Sequence[Iterable[Link]]) -> frozenset[str]:
    """Return the IDs of keys that equal a key with this *record* and these *inputs*.

    Keys are equal if their records are, and if they share an alternative for each input.
    """
    if not inputs:
        return frozenset({record} if store.get(record) else ())
    reached: list[list[Set[str]]] = []
    for position, links in enumerate(inputs):
        slot = Slot(record, position, len(inputs))
        found = [ids for link in links if (ids := store.find(slot, link))]
        if not found:
            return frozenset()
        reached.append(found)
    fewest = min(reached, key=lambda sets: sum(map(len, sets)))
    candidates = (key_id for ids in fewest for key_id in ids)
    return frozenset(
        each for each in candidates if all(any(each in ids for ids in sets) for sets in reached)
    )


def unite(
    store: KeyStore, record: str, inputs: Sequence[Iterable[Link]], result: Result | None = None
) -> str:
    """Store a key, unless an equal key is there, and return its ID.

    The alternatives of equal keys are united, and *result*, if given, is added to their results.
    """
    links = tuple(map(frozenset, inputs))
    equal = matching(store, record, links)
    known = store.get(min(equal)) if equal else None
    if known is None:
        key = StoredKey(_new_id(record, links), record, links)
    else:
        united = tuple(old | new for old, new in zip(known.inputs, links, strict=True))
        key = replace(known, inputs=united)
    if result is not None:
        kept = {each for each in key.results if each.id != result.id}
        key = replace(key, results=frozenset({*kept, result}))
    if key != known:
        store.put(key)
    return key.id


def _new_id(record: str, inputs: Sequence[Iterable[Link]]) -> str:
    """Return an ID that two processes with the same new key agree upon."""
    if not inputs:
        return record
    links = [sorted((link.selector, link.source) for link in each) for each in inputs]
    return text_digest(go_json([record, links]))


def drop_result(store: KeyStore, result_id: str) -> None:
    """Forget a result, and all keys that only served to find it."""
    with store.transaction():
        unused = list(store.having(result_id))
        for key_id in unused:
            key = store.get(key_id)
            if key is not None:
                kept = (each for each in key.results if each.id != result_id)
                store.put(replace(key, results=frozenset(kept)))
        _remove_unused(store, unused)


def _remove_unused(store: KeyStore, candidates: list[str]) -> None:
    """Remove those of *candidates*, and of the keys below, without results and consumers."""
    while candidates:
        key = store.get(candidates.pop())
        if key is None or key.results or set(store.consumers(key.id)) - {key.id}:
            continue
        store.remove(key.id)
        candidates.extend({link.source for links in key.inputs for link in links})
