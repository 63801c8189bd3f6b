"""Processes, which need an executor."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import UnsupportedError
from tarkit.llb.messages import Op
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.operation import Ref, Report


class ExecOperation:
    """A process: its key is known, so that results of other builders can be used."""

    def __init__(self, op: Op, name: str) -> None:
        self._op = op
        self._name = name

    def cache_map(self) -> CacheMap:
        """See :class:`~tarkit.solver.operation.Operation`."""
        return operation_map(self._op)

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        raise UnsupportedError(
            "processes are not available yet in the embedded engine", where=self._name
        )
