"""How far an image is, in the figures people ask for: bytes, layers, speed, percent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tarkit.copying.progress import Event, Progress

_INTERVAL = 0.1  # seconds between two reports


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How much of an image's layers was read: of ``total_bytes``, as they are stored, ``done_bytes``,
    of ``total_layers`` ``done_layers``; ``speed`` is the average so far, in bytes per second.
    """

    total_bytes: int
    done_bytes: int
    total_layers: int
    done_layers: int
    speed: int

    @property
    def percent(self) -> float:
        """0 to 100, of the bytes where their number is known, else of the layers."""
        if self.total_bytes:
            return min(100.0, 100 * self.done_bytes / self.total_bytes)
        return 100 * self.done_layers / self.total_layers if self.total_layers else 0.0


class PullMeter:
    """Turns the events of any work on an image into :class:`PullProgress`, for *report*.

    Give it as *on_progress*. *report* is called ten times a second at most, and for the last layer.
    """

    def __init__(
        self,
        report: Callable[[PullProgress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._begin: float | None = None
        self._last = -_INTERVAL

    def __call__(self, event: Progress) -> None:
        """Take note of *event*."""
        now = self._clock()
        if self._begin is None:
            self._begin, self._last = now, now - 2 * _INTERVAL
        is_last = event.event is not Event.ADVANCED and event.blobs_done == event.blobs
        if now - self._last < _INTERVAL and not is_last:
            return
        self._last = now
        elapsed = now - self._begin
        self._report(
            PullProgress(
                total_bytes=event.total,
                done_bytes=event.total_done,
                total_layers=event.blobs,
                done_layers=event.blobs_done,
                speed=int(event.total_done / elapsed) if elapsed > 0 else 0,
            )
        )
