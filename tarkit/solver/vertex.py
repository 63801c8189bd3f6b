"""A vertex of the graphs that a solver works on, and the builds that wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from tarkit.errors import TarkitError
from tarkit.llb.messages import Op
from tarkit.solver.events import BuildEvent, VertexEvent
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.key import Key
from tarkit.solver.keys.lookup import Found
from tarkit.solver.operation import Operation, Ref
from tarkit.solver.states import TRANSITIONS, Depth, Need, State
from tarkit.streams.cancellation import Cancellation
from tarkit.values import dataclass


class Waiter(Protocol):
    """A vertex or a build that waits for a vertex; compared by identity."""


class Listener(Protocol):
    """A build that a vertex belongs to."""

    def emit(self, event: BuildEvent) -> None:
        """Receive an event of the vertex."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """An output of another vertex."""

    vertex: Vertex
    index: int


class Vertex:
    """An operation that all builds with the same vertex share; only the scheduler changes it.

    - ``ignores_cache``: it is run, whatever results exist.
    - ``waiters``: who needs it, and how much. Nothing happens while there are none.
    - ``outputs``: the numbers of the outputs that somebody asked for.
    - ``keys``: its keys by output; several if its operation has several digests.
    - ``content``: the keys of inputs by content, by their position; ``hashed`` are the digests.
    - ``ran``: whether its operation has run, rather than a result been found.
    - ``results``: references by output, which the vertex owns.
    """

    def __init__(
        self,
        digest: str,
        op: Op,
        inputs: Sequence[Input],
        operation: Operation,
        event: VertexEvent,
        *,
        ignores_cache: bool,
    ) -> None:
        self.digest = digest
        self.op = op
        self.inputs = tuple(inputs)
        self.operation = operation
        self.ignores_cache = ignores_cache
        self.event = event
        self.shown = False
        self.state = State.NEW
        self.depth = Depth.NOT_YET
        self.jobs: set[Listener] = set()
        self.waiters: dict[Waiter, Need] = {}
        self.outputs: set[int] = set()
        self.map: CacheMap | None = None
        self.keys: dict[int, tuple[Key, ...]] = {}
        self.content: dict[int, Key] = {}
        self.hashed: dict[int, str] = {}
        self.ran = False
        self.found: dict[int, list[Found]] = {}
        self.results: dict[int, Ref] = {}
        self.nested: Input | None = None
        self.error: BaseException | None = None
        self.cancellation = Cancellation()

    @property
    def need(self) -> Need:
        """The most that anybody waits for."""
        return max(self.waiters.values(), default=Need.NOTHING)

    @property
    def is_source(self) -> bool:
        """Whether the key depends on something outside the definition."""
        return self.op.source is not None

    def reaches(self, need: Need, index: int) -> bool:
        """Return whether an output has what somebody needs."""
        match need:
            case Need.RESULT:
                return self.state is State.DONE and index in self.results
            case Need.ALL_KEYS:
                return self.depth is Depth.CONTENT or bool(self.found.get(index))
        return self.depth > Depth.NOT_YET

    def become(self, state: State) -> None:
        """Change the state; raises if the table of transitions does not have the change."""
        if state is not State.FAILED and state not in TRANSITIONS[self.state]:
            raise AssertionError(f"{self.event.name}: {self.state.value} -> {state.value}")
        self.state = state

    def reset(self) -> None:
        """Begin again, with what is known of the operation."""
        self.become(State.NEW)
        self.depth = Depth.NOT_YET
        self.keys.clear()
        self.content.clear()
        self.hashed.clear()
        self.found.clear()
        self.nested = self.error = None
        self.cancellation = Cancellation()

    def release(self) -> None:
        """Release the results."""
        for ref in self.results.values():
            if ref is not None:
                ref.release()
        self.results.clear()

    def input_result(self, position: int) -> Ref:
        """Return the result of an input, which must be there."""
        each = self.inputs[position]
        return each.vertex.results[each.index]

    def input_results(self) -> list[Ref]:
        """Return the results of the inputs, which must be there."""
        return [self.input_result(position) for position in range(len(self.inputs))]

    def unshown(self) -> Iterator[Vertex]:
        """Yield the vertices below that never showed anything."""
        pending = [each.vertex for each in self.inputs]
        while pending:
            vertex = pending.pop()
            if not vertex.shown:
                vertex.shown = True
                yield vertex
                pending += [each.vertex for each in vertex.inputs]


def reason(error: BaseException) -> str:
    """Return the text of an error for users."""
    return str(error) if isinstance(error, TarkitError) else f"{type(error).__name__}: {error}"
