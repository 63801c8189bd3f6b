"""Progress of a build in a daemon, as the same events as of the embedded engine."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import TarkitError
from tarkit.gateway.buildkit.control import Control
from tarkit.gateway.buildkit.messages.control import StatusResponse
from tarkit.gateway.buildkit.messages.status import Timestamp
from tarkit.gateway.buildkit.peer import Call
from tarkit.solver.events import (
    BuildEvent,
    LogEvent,
    OnEvent,
    StatusEvent,
    VertexEvent,
    WarningEvent,
)
from tarkit.streams.threads import start_thread

_SILENCE = 5.0  # seconds after a build in which its last events may arrive


class Watcher:
    """Passes the events of the build *ref* to *listener*, on a thread.

    ``failure`` is the error of the listener if it has failed; *solve*, the build, is then cancelled.
    """

    def __init__(self, control: Control, ref: str, solve: Call, listener: OnEvent) -> None:
        self._solve = solve
        self._listener = listener
        self._call, self._responses = control.watch(ref)
        self.failure: BaseException | None = None
        self._thread = start_thread(self._run, "build-status")

    def _run(self) -> None:
        try:
            for response in self._responses:
                for event in events_of(response):
                    try:
                        self._listener(event)
                    except BaseException as error:  # noqa: BLE001  raised again by the build
                        self.failure = error
                        self._solve.cancel()
                        return
        except TarkitError:
            return  # the build itself tells the failure

    def finish(self) -> None:
        """Wait for the last events of a build that has ended."""
        self._thread.join(_SILENCE)
        self._call.cancel()
        self._thread.join(_SILENCE)


def events_of(response: StatusResponse) -> Iterator[BuildEvent]:
    """Yield the events in a message."""
    for vertex in response.vertexes:
        yield VertexEvent(
            vertex.digest, vertex.name, tuple(vertex.inputs), _time(vertex.started),
            _time(vertex.completed), vertex.cached, vertex.error, vertex.progress_group,
        )  # fmt: skip
    for status in response.statuses:
        yield StatusEvent(
            status.vertex, status.id, status.name or status.id, status.current, status.total,
            _time(status.timestamp) or 0.0, _time(status.started), _time(status.completed),
        )  # fmt: skip
    for log in response.logs:
        yield LogEvent(log.vertex, log.stream, bytes(log.data), _time(log.timestamp) or 0.0)
    for each in response.warnings:
        yield WarningEvent(
            each.vertex, each.level, bytes(each.short), tuple(each.detail), each.url, each.info,
            tuple(each.ranges),
        )  # fmt: skip


def _time(stamp: Timestamp | None) -> float | None:
    return stamp.seconds if stamp is not None else None
