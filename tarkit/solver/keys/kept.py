"""A store of keys among the records of a :class:`~tarkit.store.store.Store`: it outlives the process.

A record ``key:ID`` has the record digest, the links and the results as values. Its indexes lead from
each link and result to it, and its parents are the keys of its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

from tarkit.errors import MalformedError
from tarkit.solver.keys.digests import joined_digest
from tarkit.solver.keys.stores import Link, Result, Slot, StoredKey
from tarkit.store.record import Record
from tarkit.store.records import Records

_PREFIX = "key:"


class KeptStore:
    """A :class:`~tarkit.solver.keys.stores.KeyStore` in *records*.

    Each change is a transaction of its own unless :meth:`transaction` combines several. Methods raise
    as :class:`~tarkit.store.records.Records`.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    @contextmanager
    def transaction(self) -> Iterator[object]:
        """Return a context whose changes take effect at its end, or not at all; contexts nest."""
        with self._records.transaction() as change:
            yield change

    def get(self, key_id: str) -> StoredKey | None:
        """Return a key, or None if it is missing; raises MalformedError if it is damaged."""
        record = self._records.get(_PREFIX + key_id)
        return _from_record(record) if record is not None else None

    def find(self, slot: Slot, link: Link) -> Set[str]:
        """Return the IDs of keys that have *link* as an alternative for the input *slot*."""
        return _ids(self._records.find(_link_text(slot, link)))

    def put(self, key: StoredKey) -> None:
        """Store *key*, replacing the one with its ID."""
        with self._records.transaction() as change:
            change.put(_to_record(key))

    def remove(self, key_id: str) -> None:
        """Remove a key; do nothing if it is missing."""
        with self._records.transaction() as change:
            change.remove(_PREFIX + key_id)

    def consumers(self, key_id: str) -> Iterable[str]:
        """Return the IDs of keys that have this one as an alternative for an input."""
        return _ids(self._records.children(_PREFIX + key_id))

    def having(self, result_id: str) -> Iterable[str]:
        """Return the IDs of keys with this result."""
        return _ids(self._records.find(_result_text(result_id)))


def _ids(records: Iterable[Record]) -> frozenset[str]:
    return frozenset(record.id.removeprefix(_PREFIX) for record in records)


def _link_text(slot: Slot, link: Link) -> str:
    parts = [slot.record, str(slot.position), str(slot.count), link.selector, link.source]
    return f"key-link:{joined_digest(parts)}"


def _result_text(result_id: str) -> str:
    return f"key-result:{result_id}"


def _to_record(key: StoredKey) -> Record:
    places = list(key.places())
    results = sorted(key.results, key=lambda result: result.id)
    texts = [_link_text(slot, link) for slot, link in places]
    texts += [_result_text(result.id) for result in results]
    return Record(
        _PREFIX + key.id,
        values={
            "record": key.record,
            "links": [f"{slot.position} {link.selector} {link.source}" for slot, link in places],
            "results": [f"{result.created} {result.id}" for result in results],
        },
        indexes={str(number): text for number, text in enumerate(texts)},
        parents=sorted({_PREFIX + link.source for _, link in places}),
    )


def _from_record(record: Record) -> StoredKey:
    try:
        links = [_parsed(text) for text in _texts(record, "links")]
        inputs = [set[Link]() for _ in range(1 + max((at for at, _ in links), default=-1))]
        for at, link in links:
            inputs[at].add(link)
        results = (text.partition(" ") for text in _texts(record, "results"))
        return StoredKey(
            record.id.removeprefix(_PREFIX),
            str(record.values["record"]),
            tuple(map(frozenset, inputs)),
            frozenset(Result(text, int(created)) for created, _, text in results),
        )
    except (ValueError, KeyError):
        raise MalformedError("not a cache key", where=record.id) from None


def _parsed(text: str) -> tuple[int, Link]:
    position, selector, source = text.split(" ")
    return int(position), Link(selector, source)


def _texts(record: Record, name: str) -> list[str]:
    value = record.values[name]
    return value if isinstance(value, list) else []
