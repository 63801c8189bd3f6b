"""The contract between the scheduler and operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tarkit.cache.refs import ImmutableRef
from tarkit.llb.definition import Definition
from tarkit.solver.events import LogEvent, StatusEvent
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.values import dataclass

Ref = ImmutableRef | None
"""A result; None is the empty root filesystem."""

Report = Callable[[LogEvent | StatusEvent], None]
"""Receives the progress of an operation."""


@dataclass(frozen=True, slots=True)
class Nested:
    """The result of an operation is that of another definition."""

    definition: Definition


class Operation(Protocol):
    """One vertex. Its methods run in worker threads, under a cancellation of the vertex.

    The scheduler calls :meth:`cache_map` once, and :meth:`run` only if no result has an equal key.
    """

    def cache_map(self) -> CacheMap:
        """Return what the operation and its inputs contribute to the cache key.

        Sources find out what they stand for now, and may raise any error of doing so.
        """
        ...

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref] | Nested:
        """Return new references to the results, one for each output; release none of *inputs*.

        A failure leaves no reference behind.
        """
        ...
