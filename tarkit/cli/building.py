"""Show the progress of a build on standard error: live lines, a log, or NDJSON."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from tarkit.cli.excerpts import failure_text
from tarkit.cli.live import LiveLines
from tarkit.cli.messages import say, say_event
from tarkit.cli.programs import Program
from tarkit.cli.views import BuildView, JsonView, PlainView, warning_text
from tarkit.errors import BuildError
from tarkit.streams.threads import start_thread

_DRAW_INTERVAL = 0.1  # seconds


class ProgressMode(StrEnum):
    """The forms of progress."""

    AUTO = "auto"
    PLAIN = "plain"
    JSON = "json"
    QUIET = "quiet"


class DrawnView(BuildView):
    """Draws live lines ten times a second; :meth:`finish` leaves the last ones."""

    def __init__(self, live: LiveLines) -> None:
        super().__init__()
        self._live = live
        self._ended = threading.Event()
        self._thread = start_thread(self._tick, "tarkit-progress")

    def _tick(self) -> None:
        while not self._ended.wait(_DRAW_INTERVAL):
            self._draw()

    def _draw(self) -> None:
        with self._lock:
            lines = self.steps.lines(self._live.width - 1, self._live.height - 1)
        self._live.draw(lines)

    def finish(self) -> None:
        """Draw the final lines, which stay, and the warnings."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join()
        self.steps.finished = True
        self._draw()
        self._live.freeze()
        for event in self.steps.warnings:
            say(f"WARNING: {warning_text(event)}")


@contextmanager
def build_view(mode: ProgressMode, program: Program | None) -> Iterator[BuildView]:
    """Yield a view of a build; its final lines stay after the block.

    If a step failed, the end of its output and the lines of the *program* that made it follow.
    """
    with _view(mode) as view:
        try:
            yield view
        except BuildError as error:
            view.finish()
            if mode in (ProgressMode.AUTO, ProgressMode.PLAIN):
                step = view.steps.steps.get(error.vertex)
                for line in failure_text(error, step, program.filename if program else None):
                    say(line)
            raise


@contextmanager
def _view(mode: ProgressMode) -> Iterator[BuildView]:
    match mode:
        case ProgressMode.JSON:
            yield JsonView()
            say_event("end")
        case ProgressMode.QUIET:
            yield BuildView()
        case ProgressMode.AUTO if sys.stderr is not None and sys.stderr.isatty():
            with LiveLines() as live:
                view = DrawnView(live)
                try:
                    yield view
                finally:
                    view.finish()
        case _:
            yield PlainView()
