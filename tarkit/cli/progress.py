"""Show progress on standard error: live lines on a terminal, a line now and then in a log, or NDJSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from tarkit.cli.bars import ProgressText
from tarkit.cli.messages import note, say_event
from tarkit.progress import Event, Progress

if TYPE_CHECKING:
    from tarkit.cli.live import LiveLines

Listener = Callable[[Progress], None]

_LOG_INTERVAL = 10.0  # seconds between two lines of a log
_DRAW_INTERVAL = 0.1  # seconds between two drawings on a terminal


@contextmanager
def progress_listener(*, as_json: bool, quiet: bool) -> Iterator[Listener | None]:
    """Yield a listener for progress events, or None if progress is not shown."""
    if quiet or sys.stderr is None:
        yield None
    elif as_json:
        yield _say_progress
        say_event("end")
    elif sys.stderr.isatty():
        from tarkit.cli.live import LiveLines

        with LiveLines() as lines:
            yield _drawing(lines)
    else:
        yield _logging()


def _say_progress(progress: Progress) -> None:
    if progress.event is Event.PHASE:
        say_event("phase", name=progress.name)
        return
    say_event(
        progress.event.value,
        digest=str(progress.digest) if progress.digest else None,
        name=progress.name,
        done=progress.done,
        size=progress.size,
        blobs_done=progress.blobs_done,
        blobs=progress.blobs,
        total_done=progress.total_done,
        total=progress.total,
        percent=round(progress.percent, 1),
        speed=progress.speed,
    )


def _drawing(lines: LiveLines) -> Listener:
    """Return a listener that redraws *lines*."""
    text = ProgressText()
    drawn = 0.0

    def listener(progress: Progress) -> None:
        nonlocal drawn
        text.add(progress)
        now = monotonic()
        if now - drawn >= _DRAW_INTERVAL or progress.event is Event.PHASE:
            drawn = now
            lines.draw(text.lines(lines.width - 1))

    return listener


def _logging() -> Listener:
    """Return a listener that prints a line every ten seconds."""
    text = ProgressText()
    printed = monotonic()

    def listener(progress: Progress) -> None:
        nonlocal printed
        text.add(progress)
        if monotonic() - printed >= _LOG_INTERVAL:
            printed = monotonic()
            note(text.summary())

    return listener
