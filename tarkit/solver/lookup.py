"""The keys of vertices, and results of earlier builds under equal keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from weakref import WeakSet

from tarkit.cache.facts import CachePolicy
from tarkit.cache.manager import CacheManager
from tarkit.errors import NeedsRemoteProviderError, NotFoundError
from tarkit.solver.keys.digests import record_digest
from tarkit.solver.keys.key import Alternative, Key
from tarkit.solver.keys.lookup import Found, Keys
from tarkit.solver.keys.stores import Result
from tarkit.solver.operation import Ref
from tarkit.solver.vertex import Vertex

OfInput = Callable[[Vertex, int], list[Alternative]]
"""Returns the keys of the input of a vertex at a position."""

_EMPTY = "scratch"  # the ID of a result without files; IDs of refs are longer


class Lookup:
    """Computes keys, loads results and saves them, in *manager*; used from the scheduler's thread."""

    def __init__(self, manager: CacheManager, keys: Keys) -> None:
        self._manager = manager
        self._keys = keys
        self._renewed: WeakSet[Vertex] = WeakSet()  # vertices with other keys than were looked up

    def look_up(self, vertex: Vertex) -> None:
        """Compute the keys of the wanted outputs from those of the inputs, and find results."""
        vertex.keys.clear()
        vertex.found.clear()
        for output in sorted(vertex.outputs):
            self.keys_of(vertex, output)

    def keys_of(self, vertex: Vertex, output: int) -> Sequence[Key]:
        """Return the keys of an output, with results looked up."""
        if output not in vertex.keys:
            keys = vertex.keys[output] = self._keys_with(vertex, output, self._alternatives)
            if not vertex.ignores_cache:
                results = (self._keys.results(key) for key in keys)
                # the second digest of an image counts if the first finds no result
                vertex.found[output] = next((found for found in results if found), [])
        return vertex.keys[output]

    def _keys_with(self, vertex: Vertex, output: int, of_input: OfInput) -> tuple[Key, ...]:
        assert vertex.map is not None
        inputs = [of_input(vertex, at) for at in range(len(vertex.inputs))]
        return tuple(
            self._keys.key(record_digest(digest, output), inputs) for digest in vertex.map.digests
        )

    def _alternatives(self, vertex: Vertex, position: int) -> list[Alternative]:
        """Return the keys under which an input is looked up: none by definition if it ignores caches."""
        found = self._all_alternatives(vertex, position)
        if vertex.inputs[position].vertex.ignores_cache:
            return found[:1] if position in vertex.content else []
        return found

    def _all_alternatives(self, vertex: Vertex, position: int) -> list[Alternative]:
        """Return the keys of an input: by content, and by definition."""
        assert vertex.map is not None
        each = vertex.inputs[position]
        selector = vertex.map.inputs[position].selector
        keys = self.keys_of(each.vertex, each.index)
        content = [Alternative(vertex.content[position])] if position in vertex.content else []
        return [*content, *(Alternative(key, selector) for key in keys)]

    def _has_new_keys(self, vertex: Vertex) -> bool:
        return vertex.ignores_cache or vertex in self._renewed

    def is_hopeless(self, vertex: Vertex) -> bool:
        """Return True if an input that has no content key is unknown to all stores."""
        assert vertex.map is not None
        return vertex.ignores_cache or any(
            rule.content is None
            and not any(alt.key.is_known for alt in self._alternatives(vertex, position))
            for position, rule in enumerate(vertex.map.inputs)
        )

    def content_key(self, digest: str) -> Key:
        """Return the key of an input by the digest of its content."""
        return self._keys.content_key(digest)

    def load(self, vertex: Vertex) -> bool:
        """Load the found results of all wanted outputs; forget those that are lost."""
        loaded: dict[int, Ref] = {}
        for output in vertex.outputs - vertex.results.keys():
            for found in vertex.found.get(output, ()):
                try:
                    loaded[output] = self._ref(found)
                    break
                except (NotFoundError, NeedsRemoteProviderError):
                    self._keys.drop(found)
            else:
                vertex.found[output] = []
                for ref in loaded.values():
                    if ref is not None:
                        ref.release()
                return False
        vertex.results |= loaded
        if vertex.content:
            self._link(vertex)
        return True

    def _ref(self, found: Found) -> Ref:
        return None if found.result.id == _EMPTY else self._manager.get(found.result.id)

    def _link(self, vertex: Vertex) -> None:
        """Remember that the definitions of the inputs lead to the keys found by content."""
        for keys in vertex.keys.values():
            for key in keys:
                self._keys.save(key)

    def save(self, vertex: Vertex) -> None:
        """Remember the results of a vertex under its keys, all at once.

        Inputs that ignored caches had no keys for looking up, but have some for later builds.
        """
        now = time.time_ns()
        with self._keys.local.transaction():
            for output, ref in vertex.results.items():
                result = Result(ref.id if ref is not None else _EMPTY, now)
                if any(self._has_new_keys(each.vertex) for each in vertex.inputs):
                    self._renewed.add(vertex)
                    vertex.keys[output] = self._keys_with(vertex, output, self._all_alternatives)
                saved = [self._keys.save(key, result) for key in self.keys_of(vertex, output)]
                if ref is not None and any(saved):
                    ref.policy = CachePolicy.RETAIN
