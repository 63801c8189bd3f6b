"""One build of the embedded engine, with a solver of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from tarkit.cache.manager import CacheManager
from tarkit.errors import TarkitError
from tarkit.gateway.building import BuildOptions, OnFailure
from tarkit.gateway.containers import Container, NewContainerRequest
from tarkit.gateway.local.listening import SharedListener
from tarkit.gateway.local.reference import LocalReference
from tarkit.gateway.requests import CacheOptionsEntry
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Meta
from tarkit.solver.events import BuildEvent, OnEvent
from tarkit.solver.explaining import Explanation
from tarkit.solver.local_solver import LocalSolver, Solution
from tarkit.solver.operations.sources import OpenLocation, Sources
from tarkit.streams.closeable import Closeable


class Session(Closeable):
    """Solves the definitions of a build and of all frontends that it calls; a context manager."""

    def __init__(
        self, manager: CacheManager, options: BuildOptions, open_location: OpenLocation
    ) -> None:
        self._options = options
        sources = Sources(
            locals=options.local,
            open_location=open_location,
            secrets=options.secrets,
            agents=options.ssh,
            allowed=options.allow,
        )
        self.solver = LocalSolver(manager, sources)
        self._solutions: list[Solution] = []
        self._containers: list[Container] = []
        self.emit: OnEvent = SharedListener(options.on_event or _ignore)

    def solve(
        self, definition: Definition, cache_imports: Sequence[CacheOptionsEntry]
    ) -> LocalReference | None:
        """Return a reference to the result of *definition*, None if it is empty."""
        if not definition.vertices:
            return None
        solution = self.solver.solve(
            definition,
            no_cache=self._options.no_cache,
            cache_imports=cache_imports,
            on_event=self.emit,
        )
        self._solutions.append(solution)
        return LocalReference(solution)

    def explanations(self) -> tuple[Explanation, ...]:
        """Return the reasons why steps ran, except for directories, if the build has a name."""
        found: dict[str, Explanation] = {}
        if self._options.name:
            for number, solution in enumerate(self._solutions):
                for each in solution.explain(f"{self._options.name}#{number}"):
                    if not each.name.startswith("local://"):
                        found.setdefault(each.vertex, each)
        return tuple(found.values())

    def container(self, request: NewContainerRequest) -> Container:
        """Return a container, which is released at the end of the session at the latest."""
        from tarkit.gateway.local.containers import LocalContainer

        container = LocalContainer.create(self.solver.processes(), request)
        self._containers.append(container)
        return container

    def show_failure(self, show: OnFailure) -> None:
        """Call *show* with the process that failed, if one has, in a container as it was before."""
        from tarkit.gateway.local.containers import LocalContainer

        for solution in self._solutions:
            failed = solution.failed_process
            if failed is not None:
                op, refs = failed
                with LocalContainer.of_step(self.solver.processes(), op, refs) as container:
                    show(container, op.meta or Meta())
                return

    def close(self) -> None:
        """Release containers, cancel all work, and release all results."""
        for container in reversed(self._containers):
            with suppress(TarkitError):  # a process that failed has told its user
                container.release()
        self.solver.close()


def _ignore(event: BuildEvent) -> None:
    """Do nothing."""
