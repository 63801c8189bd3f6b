"""Directories of this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tarkit.cache.facts import CachePolicy, RecordType
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.errors import MalformedError, NotFoundError
from tarkit.llb.messages import Op
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.sources import local_map
from tarkit.solver.operation import Ref, Report
from tarkit.solver.operations.sources import Sources


class LocalOperation:
    """A directory that the build may read."""

    def __init__(self, op: Op, manager: CacheManager, sources: Sources, name: str) -> None:
        assert op.source is not None
        self._op, self._attrs = op, op.source.attrs
        self._manager, self._sources = manager, sources
        self._name = name

    def cache_map(self) -> CacheMap:
        """See :class:`~tarkit.solver.operation.Operation`."""
        return local_map(self._op, self._attrs.get("local.session", ""))

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        directory = self._directory()
        options = RefOptions(
            description=self._name, record_type=RecordType.LOCAL_SOURCE, policy=CachePolicy.RETAIN
        )
        with self._manager.new(None, options) as active:
            active.files.add(directory, "/", exclude=self._patterns("local.excludepatterns"))
            return [active.commit()]

    def _directory(self) -> Path:
        assert self._op.source is not None
        name = self._op.source.identifier.removeprefix("local://")
        directory = self._sources.locals.get(name)
        if directory is None:
            raise NotFoundError(
                f"no access to the directory {name[:80]!r}", where=self._name,
                hint=f"give it to the build: --local {name[:80]}=DIR",
            )  # fmt: skip
        return directory

    def _patterns(self, attribute: str) -> list[str]:
        text = self._attrs.get(attribute)
        if not text:
            return []
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise MalformedError(f"{attribute} is not a list of patterns", where=self._name)
        return found
