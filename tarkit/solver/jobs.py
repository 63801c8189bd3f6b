"""Builds: each waits for one vertex, and receives the events of all vertices below it."""

from __future__ import annotations

from threading import Event

from tarkit.solver.events import BuildEvent, OnEvent
from tarkit.solver.operation import Ref
from tarkit.solver.vertex import Input, Vertex
from tarkit.streams.cancellation import wait

_LONG = 3600.0


class Job:
    """One build in a solver.

    ``head`` is its result, None if it is empty, ``members`` are the vertices that the build keeps, ``failed`` is the vertex that failed.
    """

    def __init__(self, on_event: OnEvent | None) -> None:
        self.head: Input | None = None
        self.members: set[Vertex] = set()
        self.failed: Vertex | None = None
        self.error: BaseException | None = None
        self.result: Ref = None
        self._on_event = on_event
        self._broken: BaseException | None = None
        self._ended = Event()

    def emit(self, event: BuildEvent) -> None:
        """Pass on an event; if its receiver fails, so does the build."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001  the build raises it
            self._on_event, self._broken = None, error
            self._ended.set()

    def begin(self) -> None:
        """Forget an earlier failure."""
        self._ended.clear()
        self.error = self.failed = None

    def succeed(self, result: Ref) -> None:
        """Wake up the build; *result* stays that of the vertex."""
        self.result = result
        self._ended.set()

    def fail(self, error: BaseException, vertex: Vertex | None = None) -> None:
        """Wake up the build, which raises *error*."""
        self.error, self.failed = error, vertex
        self._ended.set()

    def wait(self) -> Ref:
        """Wait for the end, and return the result; raises the error, and CancelledError."""
        while not wait(self._ended, _LONG):
            pass
        error = self._broken or self.error
        if error is not None:
            raise error
        return self.result
