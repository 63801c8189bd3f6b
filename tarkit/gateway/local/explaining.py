"""Why steps ran although an earlier build had results: the parts of their keys that changed."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.gateway.building import Explanation
from tarkit.llb.messages import Op
from tarkit.solver.events import BuildEvent, VertexEvent
from tarkit.solver.keys.explain import KeyFacts, differences, roles
from tarkit.solver.keys.history import History
from tarkit.solver.local_solver import Solution
from tarkit.solver.operations.making import name_of


class Explainer:
    """Compares the keys of a build with those in *history*, and remembers them for the next build."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._ran: dict[str, bool] = {}

    def add(self, event: BuildEvent) -> None:
        """Note whether a step ran."""
        if isinstance(event, VertexEvent) and event.completed is not None:
            ran = not event.cached and event.started != event.completed
            self._ran[event.digest] = ran or self._ran.get(event.digest, False)

    def explain(self, solutions: Sequence[Solution]) -> list[Explanation]:
        """Return why each step ran, inputs first, and remember the facts of all steps."""
        found: dict[str, Explanation] = {}
        facts: dict[str, KeyFacts] = {}
        for number, solution in enumerate(solutions):
            graph = solution.definition.graph()
            known = solution.key_facts()
            names = {digest: f"{number} {role}" for digest, role in roles(graph).items()}
            for digest in sorted(known.keys() & names.keys(), key=graph.depths.__getitem__):
                role = names[digest]
                facts[role] = known[digest]
                if (
                    self._ran.get(digest)
                    and digest not in found
                    and not _is_local(graph.ops[digest])
                ):
                    name = name_of(graph.ops[digest], solution.definition.metadata.get(digest))
                    found[digest] = self._explanation(name, role, known[digest])
        if found:
            self._history.update(facts)
        return list(found.values())

    def _explanation(self, name: str, role: str, facts: KeyFacts) -> Explanation:
        before = self._history.get(role)
        if before is None:
            return Explanation(name, ("is new",))
        changes = tuple(map(str, differences(before, facts)))
        return Explanation(name, changes or ("has no result in the store",))


def _is_local(op: Op) -> bool:
    """Return whether the step reads a directory: its key means nothing, and it runs in every build."""
    return op.source is not None and op.source.identifier.startswith("local://")
