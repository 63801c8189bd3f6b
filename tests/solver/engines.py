"""Solvers that count the work they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import tarkit
from tarkit import llb
from tarkit.cache.manager import CacheManager
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Op
from tarkit.solver.empty import files_of
from tarkit.solver.events import BuildEvent, VertexEvent
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.local_solver import LocalSolver
from tarkit.solver.operation import Nested, Operation, Ref, Report
from tarkit.solver.operations.making import Operations
from tarkit.solver.operations.sources import Sources
from tarkit.store.layers import Layers

Before = Callable[[], object]
"""Called before an operation runs."""


class Counted:
    """An operation that counts its calls, and may wait or fail before it runs."""

    def __init__(self, inner: Operation, name: str, counts: Counts) -> None:
        self._inner, self._name, self._counts = inner, name, counts

    def cache_map(self) -> CacheMap:
        self._counts.maps[self._name] += 1
        return self._inner.cache_map()

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref] | Nested:
        self._counts.runs[self._name] += 1
        if self._name in self._counts.before:
            self._counts.before[self._name]()
        return self._inner.run(inputs, report)


class Counts:
    """Calls by the name of the vertex: cache maps computed, and operations run."""

    def __init__(self) -> None:
        self.maps: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()
        self.before: dict[str, Before] = {}
        self.layers = 0  # opened for reading
        self.events: list[BuildEvent] = []

    def clear(self) -> None:
        self.maps.clear()
        self.runs.clear()
        self.layers = 0
        self.events.clear()

    def cached(self) -> list[str]:
        """Return the names of the vertices that ended as cached."""
        last = {e.digest: e for e in self.events if isinstance(e, VertexEvent)}
        return sorted(event.name for event in last.values() if event.cached)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    counts = Counts()
    make, open_layer = Operations.make, Layers.open

    def counted(self: Operations, op: Op, name: str) -> Operation:
        return Counted(make(self, op, name), name, counts)

    def opened(self: Layers, *args: object) -> object:
        counts.layers += 1
        return open_layer(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Operations, "make", counted)
    monkeypatch.setattr(Layers, "open", opened)
    return counts


@contextmanager
def engine(
    root: Path,
    *,
    locals: Mapping[str, Path] | None = None,
    secrets: Mapping[str, bytes] | None = None,
    workers: int = 4,
) -> Iterator[LocalSolver]:
    """Provide a solver with the store below *root*."""
    sources = Sources(locals or {}, tarkit.open_source, secrets=secrets or {})
    with (
        CacheManager.open(root / "store", open_location=tarkit.open_source) as manager,
        LocalSolver(manager, sources, workers=workers) as solver,
    ):
        yield solver


def definition_of(state: llb.State, solver: LocalSolver | None = None) -> Definition:
    """Return the definition of *state*."""
    return state.marshal(resolve=solver.resolve if solver is not None else None)


def build(
    solver: LocalSolver,
    state: llb.State,
    counts: Counts | None = None,
    *,
    no_cache: bool = False,
) -> dict[str, str]:
    """Solve *state* and return its files: the text of a file, or the type of another entry."""
    on_event = counts.events.append if counts is not None else None
    definition = definition_of(state, solver)
    with solver.solve(definition, no_cache=no_cache, on_event=on_event) as solution:
        return texts(solution.result())


def texts(ref: Ref) -> dict[str, str]:
    """Return the entries of a result by path, without the root."""
    files = files_of(ref)
    return {
        entry.path: files.read_text(entry.path)
        if entry.type is tarkit.MemberType.FILE
        else entry.target or entry.type.name.lower()
        for entry in files.walk()
        if entry.path != "/"
    }
