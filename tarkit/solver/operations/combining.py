"""Merges and differences of results, and results that stand for others."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.llb.messages import DiffInput, Op
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.operation import Ref, Report


class _Combining:
    """An operation that only makes a record of its inputs."""

    def __init__(self, op: Op, manager: CacheManager, name: str) -> None:
        self._op = op
        self._manager = manager
        self._options = RefOptions(description=name)

    def cache_map(self) -> CacheMap:
        """See :class:`~tarkit.solver.operation.Operation`."""
        return operation_map(self._op)


class MergeOperation(_Combining):
    """The layers of all inputs in order."""

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        assert self._op.merge is not None
        chosen = [inputs[each.input] for each in self._op.merge.inputs if each.input >= 0]
        refs = [ref for ref in chosen if ref is not None]
        return [self._manager.merge(refs, self._options)]


class DiffOperation(_Combining):
    """The changes from one input to another; all of it without the first, nothing if they are equal."""

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        assert self._op.diff is not None
        lower, upper = _side(self._op.diff.lower, inputs), _side(self._op.diff.upper, inputs)
        if lower is None:
            return [upper.clone() if upper is not None else None]
        if upper is not None and upper.id == lower.id:
            return [None]
        return [self._manager.diff(lower, upper, self._options)]


class PassthroughOperation(_Combining):
    """Some inputs, which require the others."""

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        assert self._op.passthrough is not None
        chosen = [inputs[at] if at >= 0 else None for at in self._op.passthrough.outputs]
        return [ref.clone() if ref is not None else None for ref in chosen]


def _side(side: DiffInput | None, inputs: Sequence[Ref]) -> Ref:
    return inputs[side.input] if side is not None and side.input >= 0 else None
