"""One stream of events for a build that solves several definitions."""

from __future__ import annotations

import threading

from tarkit.solver.events import BuildEvent, OnEvent, VertexEvent


class SharedListener:
    """Passes each event on once, in order and from one thread at a time.

    A step that several definitions have in common tells each of them of the same event.
    """

    def __init__(self, listener: OnEvent) -> None:
        self._listener = listener
        self._lock = threading.RLock()  # a listener may end up here again, in a signal handler
        self._vertices: dict[str, VertexEvent] = {}
        self._last: BuildEvent | None = None

    def __call__(self, event: BuildEvent) -> None:
        """Take an event, from any thread."""
        with self._lock:
            if event is self._last:
                return
            self._last = event
            if isinstance(event, VertexEvent):
                if self._vertices.get(event.digest) == event:
                    return
                self._vertices[event.digest] = event
            self._listener(event)
