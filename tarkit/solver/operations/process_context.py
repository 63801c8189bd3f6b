"""The surroundings of the processes of a build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tarkit.cache.manager import CacheManager
from tarkit.executor.executor import Executor
from tarkit.solver.operations.cache_mounts import CacheMounts
from tarkit.solver.operations.sources import Sources


class ProcessContext:
    """The store, executor, caches, secrets and agents for processes, and the *allowed* privileges."""

    def __init__(self, manager: CacheManager, sources: Sources) -> None:
        self.manager = manager
        self.executor = Executor()
        self.caches = CacheMounts(manager)
        self.secrets: Mapping[str, bytes] = sources.secrets
        self.agents: Mapping[str, Path] = sources.agents
        self.allowed = sources.allowed
