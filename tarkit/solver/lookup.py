"""The keys of vertices, and results that earlier builds left under equal keys."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tarkit.cache.facts import CachePolicy
from tarkit.cache.manager import CacheManager
from tarkit.errors import NeedsRemoteProviderError, NotFoundError
from tarkit.solver.keys.digests import record_digest
from tarkit.solver.keys.key import Alternative, Key
from tarkit.solver.keys.lookup import Found, Keys
from tarkit.solver.keys.stores import Result
from tarkit.solver.operation import Ref
from tarkit.solver.vertex import Vertex

_EMPTY = "scratch"  # the ID of a result without files; IDs of refs are longer


class Lookup:
    """Computes keys, loads results and saves them, in *manager*; used from the scheduler's thread."""

    def __init__(self, manager: CacheManager, keys: Keys) -> None:
        self._manager = manager
        self._keys = keys

    def look_up(self, vertex: Vertex) -> None:
        """Compute the keys of the wanted outputs from those of the inputs, and find results."""
        vertex.keys.clear()
        vertex.found.clear()
        for output in sorted(vertex.outputs):
            self.keys_of(vertex, output)

    def keys_of(self, vertex: Vertex, output: int) -> Sequence[Key]:
        """Return the keys of an output, with results looked up."""
        if output not in vertex.keys:
            assert vertex.map is not None
            inputs = [self._alternatives(vertex, at) for at in range(len(vertex.inputs))]
            keys = tuple(
                self._keys.key(record_digest(digest, output), inputs)
                for digest in vertex.map.digests
            )
            vertex.keys[output] = keys
            if not vertex.ignores_cache:
                results = (self._keys.results(key) for key in keys)
                # the second digest of an image counts if the first finds no result
                vertex.found[output] = next((found for found in results if found), [])
        return vertex.keys[output]

    def _alternatives(self, vertex: Vertex, position: int) -> list[Alternative]:
        """Return the keys by which an input is known: by definition, and by content."""
        assert vertex.map is not None
        each = vertex.inputs[position]
        found = []
        if not each.vertex.ignores_cache:
            selector = vertex.map.inputs[position].selector
            keys = self.keys_of(each.vertex, each.index)
            found = [Alternative(key, selector) for key in keys]
        if position in vertex.content:
            found.append(Alternative(vertex.content[position]))
        return found

    def is_hopeless(self, vertex: Vertex) -> bool:
        """Return whether an input that has no content key is unknown to all stores."""
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
        """Remember the results of a vertex under its keys, all at once."""
        now = time.time_ns()
        with self._keys.local.transaction():
            for output, ref in vertex.results.items():
                result = Result(ref.id if ref is not None else _EMPTY, now)
                saved = [self._keys.save(key, result) for key in self.keys_of(vertex, output)]
                if ref is not None and any(saved):
                    ref.policy = CachePolicy.RETAIN
