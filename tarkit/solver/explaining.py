"""Why the operations of a build ran: what changed in their keys since the last build of its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from tarkit.errors import MalformedError
from tarkit.llb.graph import Graph
from tarkit.solver.keys.digests import text_digest
from tarkit.solver.keys.explain import Difference, KeyFacts, differences, roles
from tarkit.solver.vertex import Vertex
from tarkit.store.record import Record
from tarkit.store.records import Records
from tarkit.values import dataclass

_FACTS = "facts"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an operation ran.

    ``vertex`` is its digest and ``name`` its name for users. ``differences`` are the changes of its key
    since the last build; without any, the result was lost or the cache ignored. ``is_new`` is true if
    the last build had no such operation.
    """

    vertex: str
    name: str
    differences: tuple[Difference, ...] = ()
    is_new: bool = False
    ignores_cache: bool = False

    def __str__(self) -> str:
        if self.ignores_cache:
            reason = "ignores the cache"
        elif self.is_new:
            reason = "was not part of the last build"
        else:
            reason = "; ".join(map(str, self.differences)) or "its result is no longer there"
        return f"{self.name}: {reason}"


def explain(
    records: Records, build: str, graph: Graph, vertices: Iterable[Vertex]
) -> list[Explanation]:
    """Return the reasons for the *vertices* that ran, inputs first, and keep the facts of all.

    *build* is the name of the build. Call it in the thread that owns the vertices.
    """
    known = _load(records, build)
    names = roles(graph)
    found: list[Explanation] = []
    facts: dict[str, KeyFacts] = {}
    for vertex in sorted(vertices, key=lambda each: graph.depths.get(each.digest, 0)):
        role = names.get(vertex.digest)
        if role is None or vertex.map is None or not vertex.keys:
            continue
        now = facts[role] = _facts_of(vertex)
        if vertex.ran:
            before = known.get(role)
            changes = tuple(differences(before, now)) if before is not None else ()
            found.append(
                Explanation(
                    vertex.digest, vertex.event.name, changes, before is None, vertex.ignores_cache
                )
            )
    _save(records, build, {**known, **facts})
    return found


def _facts_of(vertex: Vertex) -> KeyFacts:
    assert vertex.map is not None
    count = range(len(vertex.map.inputs))
    inputs = vertex.inputs[: len(count)]
    keys = [each.vertex.keys.get(each.index, ()) for each in inputs]
    return KeyFacts.of(vertex.map, keys, [vertex.hashed.get(at, "") for at in count])


def _id(build: str) -> str:
    return f"explain:{text_digest(build)}"


def _load(records: Records, build: str) -> Mapping[str, KeyFacts]:
    data = records.external(_id(build), _FACTS)
    try:
        document = json.loads(data or b"{}")
        return {role: KeyFacts.from_json(text) for role, text in document.items()}
    except (ValueError, AttributeError, TypeError, MalformedError):
        return {}


def _save(records: Records, build: str, facts: Mapping[str, KeyFacts]) -> None:
    document = {role: each.to_json() for role, each in facts.items()}
    with records.transaction() as change:
        change.put(Record(_id(build)))
        change.set_external(_id(build), _FACTS, json.dumps(document).encode())
