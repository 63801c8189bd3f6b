"""The embedded engine: solves definitions in this process, without a daemon or root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from tarkit.cache.manager import CacheManager
from tarkit.errors import CancelledError, RefusedError, UnsupportedError
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.llb.graph import Graph
from tarkit.llb.messages import ExecOp
from tarkit.llb.vertices import ResolvedImage
from tarkit.selection.select import read_config
from tarkit.solver.events import OnEvent
from tarkit.solver.explaining import Explanation, explain
from tarkit.solver.graphs import Graphs, checked
from tarkit.solver.jobs import Job
from tarkit.solver.keys.kept import KeptStore
from tarkit.solver.keys.lookup import Keys
from tarkit.solver.lookup import Lookup
from tarkit.solver.operation import Nested, Ref
from tarkit.solver.operations.making import Operations
from tarkit.solver.operations.sources import Sources
from tarkit.solver.scheduler import Scheduler
from tarkit.solver.states import Need
from tarkit.solver.vertex import Input, Vertex
from tarkit.streams.closeable import Closeable

if TYPE_CHECKING:
    from tarkit.solver.operations.process_context import ProcessContext

T = TypeVar("T")

_LOCATED = "tarkit/location"  # the name of images that have only a location
_WORKERS = 4
_LONG = 3600.0


class LocalSolver(Closeable):
    """Solves definitions with the results and keys in the store of *manager*, which stays open.

    ::

        with CacheManager.open("store") as manager, LocalSolver(manager) as solver:
            with solver.solve(definition) as solution:
                ref = solution.result()  # waits; None if the result has no files

    Several threads may solve several definitions at once: vertices that they share run once.
    *sources* are open to builds, and *workers* is the number of operations that run at a time.
    """

    def __init__(
        self,
        manager: CacheManager,
        sources: Sources | None = None,
        *,
        workers: int = _WORKERS,
    ) -> None:
        self.manager = manager
        self.sources = sources or Sources()
        self._operations = Operations(manager, self.sources)
        self._graphs = Graphs(self._operations)
        lookup = Lookup(manager, Keys(KeptStore(manager.store.records)))
        self._scheduler = Scheduler(
            lookup,
            self._expand,
            self._graphs.drop_unused,
            self._operations.content,
            workers=workers,
        )
        self._solutions: set[Solution] = set()
        self._closed = False

    def solve(
        self,
        definition: Definition,
        *,
        no_cache: bool = False,
        cache_imports: Sequence[object] = (),
        on_event: OnEvent | None = None,
    ) -> Solution:
        """Check a definition and return its solution, which is computed when it is needed.

        With *no_cache*, all operations run, even if they have results; the new ones are kept. *on_event*
        receives the progress, see :mod:`tarkit.solver.events`.

        Raises :class:`~tarkit.errors.MalformedError`, which names the vertex, and LimitExceededError
        for an invalid definition, and UnsupportedError for operations that tarkit lacks and for
        *cache_imports*.
        """
        if cache_imports:
            raise UnsupportedError("the embedded engine cannot import caches yet")
        graph = checked(definition)
        job = Job(on_event)
        self.call(partial(self._add, job, graph, definition, no_cache))
        solution = Solution(self, definition, graph, job)
        self._solutions.add(solution)
        return solution

    def resolve(self, location: str, platform: Platform) -> ResolvedImage:
        """Return the image at *location* as a source of definitions, for ``State.marshal``.

        Raises the errors of opening it.
        """
        images = self._operations.images
        digest = images.open(location).manifest().digest
        images.layouts[location] = location
        return ResolvedImage(f"{_LOCATED}@{digest}", store=location)

    def processes(self) -> ProcessContext:
        """Return the surroundings of processes, for containers."""
        return self._operations.processes()

    def image_config(
        self, identifier: str, *, platform: Platform | None = None, store: str = ""
    ) -> tuple[Digest, bytes]:
        """Return the digest and the config of the image that a source would use.

        *identifier* begins with ``docker-image://`` or ``oci-layout://``, *store* is the name of the
        layout if it is not that of the image, and *platform* is this machine's by default. The digest
        is that of the index if the name leads to one. Raises the errors of opening the image.
        """
        from tarkit.solver.operations.image import find_image, location_of

        images = self._operations.images
        location = location_of(identifier, store, images)
        found = find_image(identifier, location, images, platform or Platform.system())
        return found.digest, read_config(found.source, found.manifest)

    def _add(self, job: Job, graph: Graph, definition: Definition, no_cache: bool) -> None:
        try:
            job.head = self._graphs.add(graph, definition, job, no_cache=no_cache)
        except BaseException:
            self._graphs.leave(job)
            raise

    def _expand(self, vertex: Vertex, nested: Nested) -> Input | None:
        """Add a nested definition to all builds of *vertex*."""
        graph = checked(nested.definition, where=vertex.event.name)
        head: Input | None = None
        for job in vertex.jobs:
            assert isinstance(job, Job)
            head = self._graphs.add(graph, nested.definition, job, no_cache=vertex.ignores_cache)
        if head is not None and vertex in _above(head.vertex):
            raise RefusedError("the build depends on itself", where=vertex.event.name)
        return head

    def begin(self, job: Job) -> None:
        """Begin the work for a build; raises RefusedError if the solver is closed."""
        if self._closed:
            raise RefusedError("the solver is closed")
        self._scheduler.post(partial(self._begin, job))

    def _begin(self, job: Job) -> None:
        if job.head is None:
            job.succeed(None)
        elif job.head.vertex.reaches(Need.RESULT, job.head.index):
            job.succeed(job.head.vertex.results[job.head.index])
        else:
            self._scheduler.demand(job.head, job, Need.RESULT)

    def cancel(self, job: Job) -> None:
        """End the work that only *job* needs."""
        self._scheduler.post(partial(self._cancel, job))

    def _cancel(self, job: Job) -> None:
        if job.head is not None and job in job.head.vertex.waiters:
            self._scheduler.withdraw(job.head.vertex, job)
            job.fail(CancelledError("cancelled"))

    def leave(self, solution: Solution, job: Job) -> None:
        """Forget a build."""
        if solution in self._solutions:
            self._solutions.discard(solution)
            self.call(partial(self._leave, job))

    def _leave(self, job: Job) -> None:
        self._cancel(job)
        self._graphs.leave(job)

    def call(self, function: Callable[[], T]) -> T:
        """Call *function* in the thread that owns the graph, and return its result."""
        if self._closed:
            raise RefusedError("the solver is closed")
        ended = Event()
        results: list[T] = []
        errors: list[BaseException] = []

        def run() -> None:
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001  raised in the caller
                errors.append(error)
            ended.set()

        self._scheduler.post(run)
        while not ended.wait(_LONG):
            pass
        if errors:
            raise errors[0]
        return results[0]

    def close(self) -> None:
        """Cancel all work, and release all results."""
        if self._closed:
            return
        for solution in list(self._solutions):
            solution.close()
        self._closed = True
        self._scheduler.close()
        self._operations.close()


class Solution(Closeable):
    """The result of a definition, computed when it is first needed; a context manager.

    Vertices keep their results while a solution has them.
    """

    def __init__(self, solver: LocalSolver, definition: Definition, graph: Graph, job: Job) -> None:
        self.definition = definition
        self._graph = graph
        self._solver = solver
        self._job = job

    def result(self) -> Ref:
        """Return the root filesystem, None if it is empty; it belongs to the solution.

        Raises the error of the operation that failed, and
        :class:`~tarkit.errors.CancelledError`. Calling it again then tries again.
        """
        self._job.begin()
        self._solver.begin(self._job)
        try:
            return self._job.wait()
        except BaseException:
            self._solver.cancel(self._job)
            raise

    @property
    def failed(self) -> str | None:
        """The digest of the vertex whose operation failed last, or None."""
        return self._job.failed.digest if self._job.failed is not None else None

    @property
    def failed_process(self) -> tuple[ExecOp, list[Ref]] | None:
        """The process that failed last and the results it got, which belong to the solution, or None."""
        vertex = self._job.failed
        op = self._graph.ops.get(vertex.digest) if vertex is not None else None
        if vertex is None or op is None or op.exec is None:
            return None
        if not all(each.vertex.reaches(Need.RESULT, each.index) for each in vertex.inputs):
            return None  # an input failed, or the build was cancelled
        return op.exec, [each.vertex.results[each.index] for each in vertex.inputs]

    def explain(self, build: str) -> list[Explanation]:
        """Return the reasons why operations ran since the last build *build*, inputs first.

        Call it after :meth:`result`, even if that failed. Cached operations are not listed.
        """
        records = self._solver.manager.store.records
        return self._solver.call(partial(explain, records, build, self._graph, self._job.members))

    def cancel(self) -> None:
        """Stop the work that no other solution needs."""
        self._solver.cancel(self._job)

    def close(self) -> None:
        """Cancel the work, and release the results that no other solution has."""
        self._solver.leave(self, self._job)


def _above(vertex: Vertex) -> set[Vertex]:
    """Return *vertex* and all that it depends on."""
    seen = {vertex}
    pending = [vertex]
    while pending:
        current = pending.pop()
        below = [each.vertex for each in current.inputs]
        below += [current.nested.vertex] if current.nested is not None else []
        pending += [each for each in below if each not in seen]
        seen.update(below)
    return seen
