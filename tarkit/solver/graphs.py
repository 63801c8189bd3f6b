"""The vertices of all builds of a solver, each kept once."""

from __future__ import annotations

from tarkit.errors import LimitExceededError
from tarkit.llb.definition import Definition
from tarkit.llb.graph import Graph
from tarkit.llb.messages import OpMetadata
from tarkit.llb.wire.base import LARGEST
from tarkit.solver.events import VertexEvent
from tarkit.solver.jobs import Job
from tarkit.solver.operations.making import Operations, name_of
from tarkit.solver.states import AT_WORK
from tarkit.solver.vertex import Input, Vertex

_Key = tuple[str, bool]  # the digest, and if it ignores the cache


class Graphs:
    """Vertices by digest; only the scheduler's thread uses it."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._vertices: dict[_Key, Vertex] = {}

    def add(
        self, graph: Graph, definition: Definition, job: Job, *, no_cache: bool
    ) -> Input | None:
        """Add a definition to a build, and return its result."""
        if graph.head is None:
            return None
        found: dict[str, Vertex] = {}
        for digest in sorted(graph.ops, key=graph.depths.__getitem__):
            metadata = definition.metadata.get(digest, OpMetadata())
            inputs = [Input(found[i.digest], i.index) for i in graph.ops[digest].inputs]
            key = (digest, no_cache or metadata.ignore_cache)
            vertex = self._vertices.get(key)
            if vertex is None or any(
                old.vertex is not new.vertex for old, new in zip(vertex.inputs, inputs, strict=True)
            ):
                vertex = self._vertices[key] = self._make(graph, digest, metadata, inputs, key[1])
            found[digest] = vertex
            self._join(vertex, job)
        return Input(found[graph.head.digest], graph.head.index)

    def _make(
        self,
        graph: Graph,
        digest: str,
        metadata: OpMetadata,
        inputs: list[Input],
        ignores_cache: bool,
    ) -> Vertex:
        op = graph.ops[digest]
        name = name_of(op, metadata)
        event = VertexEvent(
            digest,
            name,
            tuple(each.vertex.digest for each in inputs),
            group=metadata.progress_group,
        )
        operation = self._operations.make(op, name)
        return Vertex(digest, op, inputs, operation, event, ignores_cache=ignores_cache)

    def _join(self, vertex: Vertex, job: Job) -> None:
        if job not in vertex.jobs:
            vertex.jobs.add(job)
            job.members.add(vertex)
            job.emit(vertex.event)

    def leave(self, job: Job) -> None:
        """Forget a build, and the vertices that only it had, unless a worker is busy with them."""
        for vertex in job.members:
            vertex.jobs.discard(job)
            self.drop_unused(vertex)
        job.members.clear()

    def drop_unused(self, vertex: Vertex) -> None:
        """Forget a vertex without builds, and release its results; not while a worker is busy."""
        if vertex.jobs or vertex.state in AT_WORK:
            return
        key = (vertex.digest, vertex.ignores_cache)
        if self._vertices.get(key) is vertex:
            del self._vertices[key]
        vertex.release()


def checked(definition: Definition, *, where: str | None = None) -> Graph:
    """Return the graph of *definition*, within all limits.

    Raises :class:`~tarkit.errors.MalformedError` that names the vertex, and LimitExceededError.
    """
    size = sum(map(len, definition.vertices))
    if size > LARGEST:
        raise LimitExceededError(f"definition of {size} bytes", limit=LARGEST, where=where)
    return definition.graph(where=where)
