"""The steps of a vertex in progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tarkit.solver.events import LogEvent, StatusEvent
from tarkit.solver.operation import Report


class Steps:
    """Reports the steps of one vertex, which the receiver of events fills in, and its output."""

    def __init__(self, report: Report) -> None:
        self._report = report

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Report the beginning and the end of the block, which is called *name*."""
        started = time.time()
        self._report(StatusEvent("", name, name, 0, 0, started, started))
        yield
        now = time.time()
        self._report(StatusEvent("", name, name, 0, 0, now, started, now))

    def log(self, data: bytes, stream: int = 2) -> None:
        """Report output."""
        self._report(LogEvent("", stream, data, time.time()))
