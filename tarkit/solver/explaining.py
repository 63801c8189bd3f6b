"""The facts behind the keys of a build's vertices, for explanations."""

from __future__ import annotations

from collections.abc import Iterable

from tarkit.solver.keys.explain import KeyFacts
from tarkit.solver.vertex import Vertex


def key_facts(vertices: Iterable[Vertex]) -> dict[str, KeyFacts]:
    """Return the facts by digest, as far as keys were computed; for the thread that owns the graph."""
    found = {}
    for vertex in vertices:
        if vertex.map is not None:
            keys = [each.vertex.keys.get(each.index, ()) for each in vertex.inputs]
            contents = [
                vertex.content[at].record if at in vertex.content else ""
                for at in range(len(vertex.inputs))
            ]
            found[vertex.digest] = KeyFacts.of(vertex.map, keys, contents)
    return found
