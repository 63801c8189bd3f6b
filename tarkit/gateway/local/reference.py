"""References to results of the embedded engine."""

from __future__ import annotations

import threading

from tarkit.errors import CancelledError, TarkitError
from tarkit.gateway.local import files
from tarkit.gateway.local.failures import step_error
from tarkit.gateway.reference import Reference
from tarkit.gateway.requests import ReadDirRequest, ReadRequest, StatRequest
from tarkit.gateway.stat import Stat
from tarkit.llb.state import State
from tarkit.rootfs.filesystem import FileSystem
from tarkit.solver.empty import files_of
from tarkit.solver.local_solver import Solution
from tarkit.solver.operation import Ref


class LocalReference(Reference):
    """The result of a solution, which the build closes at its end."""

    def __init__(self, solution: Solution) -> None:
        self._solution = solution
        self._lock = threading.Lock()  # a solution waits for one caller at a time

    def to_state(self) -> State:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        return State.from_definition(self._solution.definition)

    def result(self) -> Ref:
        """Wait for the result and return it; raises BuildError if a step fails."""
        with self._lock:
            try:
                return self._solution.result()
            except CancelledError:
                raise
            except TarkitError as error:
                failed = self._solution.failed
                if failed is None:
                    raise
                raise step_error(error, self._solution.definition, failed) from error

    def evaluate(self) -> None:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        self.result()

    def read_file(self, request: ReadRequest | str) -> bytes:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        wanted = ReadRequest(request) if isinstance(request, str) else request
        return files.read_file(self._files(), wanted)

    def stat_file(self, request: StatRequest | str) -> Stat:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        wanted = StatRequest(request) if isinstance(request, str) else request
        return files.stat_file(self._files(), wanted)

    def read_dir(self, request: ReadDirRequest | str) -> list[Stat]:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        wanted = ReadDirRequest(request) if isinstance(request, str) else request
        return files.read_dir(self._files(), wanted)

    def _files(self) -> FileSystem:
        return files_of(self.result())
