"""Builds whose definition is a file in one of their inputs."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import UnsupportedError, UsageError
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Op
from tarkit.llb.wire.base import LARGEST
from tarkit.solver.empty import files_of
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.operation import Nested, Ref, Report

_DEFINITION = "buildkit.llb.definition"  # the name of the input and, by default, of the file


class BuildOperation:
    """A nested build."""

    def __init__(self, op: Op, name: str) -> None:
        self._op = op
        self._name = name

    def cache_map(self) -> CacheMap:
        """See :class:`~tarkit.solver.operation.Operation`."""
        return operation_map(self._op)

    def run(self, inputs: Sequence[Ref], report: Report) -> Nested:
        """See :class:`~tarkit.solver.operation.Operation`."""
        build = self._op.build
        assert build is not None
        if build.builder != -1:
            raise UnsupportedError("an image as the builder is not supported", where=self._name)
        chosen = build.inputs.get(_DEFINITION)
        if chosen is None or chosen.input < 0:
            raise UsageError("the build has no input with a definition", where=self._name)
        path = build.attrs.get("llbbuild.filename") or _DEFINITION
        data = files_of(inputs[chosen.input]).read_bytes(path, limit=LARGEST)
        return Nested(Definition.decode(data, where=f"{self._name}: {path[:200]}"))
