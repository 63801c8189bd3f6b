"""Keys and results of a build: looked up in several stores, saved in the first."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.solver.keys.digests import content_record
from tarkit.solver.keys.key import Alternative, Key
from tarkit.solver.keys.stores import (
    KeyStore,
    Link,
    Result,
    drop_result,
    matching,
    unite,
)
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A result in a store."""

    result: Result
    store: KeyStore


class Keys:
    """The keys of one build, used from one thread.

    Results are saved in *local*; *imported* has the keys of all imported caches. A key is found if
    all its inputs are known to the same store.
    """

    def __init__(self, local: KeyStore, imported: KeyStore | None = None) -> None:
        self.local = local
        self.stores = (local,) if imported is None else (local, imported)

    def key(self, record: str, inputs: Sequence[Sequence[Alternative]] = ()) -> Key:
        """Return the key of an output, with the equal keys of each store looked up.

        *record* is a record digest. *inputs* has the known keys of each input, with the selector of
        the operation; content keys have none. An input without any alternative never matches.
        """
        key = Key(record, inputs)
        if not key.is_random:
            for store in self.stores:
                links = [_links(store, alternatives) for alternatives in inputs]
                key.ids[store] = matching(store, record, links)
        return key

    def content_key(self, content: str) -> Key:
        """Return the key of an input by the digest of its content."""
        return self.key(content_record(content))

    def results(self, key: Key) -> list[Found]:
        """Return the results of a key and its equals, the newest first."""
        found = {
            (result.id, store): Found(result, store)
            for store, ids in key.ids.items()
            for stored in map(store.get, sorted(ids))
            if stored is not None
            for result in stored.results
        }
        return sorted(found.values(), key=lambda each: -each.result.created)

    def save(self, key: Key, result: Result | None = None) -> bool:
        """Store a key and the keys of its inputs, with a result if given.

        Also call it after a match by content: it links the other keys of the inputs to the match.
        Return False, and store nothing, if an input has no key that is true outside this session.
        """
        with self.local.transaction():
            done = self._store_inputs(key)
            return self._unite(key, done, result) is not None

    def drop(self, found: Found) -> None:
        """Forget a result that cannot be loaded."""
        drop_result(found.store, found.result.id)

    def _store_inputs(self, key: Key) -> dict[Key, str | None]:
        """Store the keys below *key*, inputs first and without recursion; return their IDs."""
        done: dict[Key, str | None] = {}
        stack = [key]
        while True:
            current = stack[-1]
            needed = dict.fromkeys(each.key for links in current.inputs for each in links)
            for each in [each for each in needed if each not in done]:
                if (stored := self._stored(each)) is not None:
                    done[each] = stored
            waiting = [each for each in needed if each not in done]
            stack.extend(waiting)
            if not waiting:
                if current is key:
                    return done
                done[stack.pop()] = self._unite(current, done)

    def _stored(self, key: Key) -> str | None:
        """Return the ID under which *key* is stored, if it still is."""
        ids = sorted(key.ids.get(self.local, ()))
        return next((each for each in ids if self.local.get(each) is not None), None)

    def _unite(
        self, key: Key, ids: dict[Key, str | None], result: Result | None = None
    ) -> str | None:
        """Store one key whose inputs have these *ids*; None if an input has no stored alternative."""
        inputs = [
            {
                Link(alternative.selector, source)
                for alternative in alternatives
                if (source := ids[alternative.key]) is not None
            }
            for alternatives in key.inputs
        ]
        if key.is_random or not all(inputs):
            return None
        stored = unite(self.local, key.record, inputs, result)
        key.ids[self.local] = key.ids.get(self.local, frozenset()) | {stored}
        return stored


def _links(store: KeyStore, alternatives: Sequence[Alternative]) -> list[Link]:
    return [
        Link(alternative.selector, source)
        for alternative in alternatives
        for source in alternative.key.ids.get(store, ())
    ]
