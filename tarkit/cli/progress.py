"""Show progress on standard error: as a bar on a terminal, as NDJSON with ``--json``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tarkit.cli.messages import say
from tarkit.progress import Event, Progress

Listener = Callable[[Progress], None]


@contextmanager
def progress_listener(*, as_json: bool, quiet: bool) -> Iterator[Listener | None]:
    """Yield a listener for progress events, or None if progress is not shown."""
    if quiet or sys.stderr is None:
        yield None
    elif as_json:
        yield _say_event
    elif not sys.stderr.isatty():
        yield None
    else:
        with _bar() as listener:
            yield listener


def _say_event(progress: Progress) -> None:
    event = {
        "event": progress.event.value,
        "digest": str(progress.digest),
        "done": progress.done,
        "size": progress.size,
        "blobs_done": progress.blobs_done,
        "blobs": progress.blobs,
        "total_done": progress.total_done,
        "total": progress.total,
        "percent": round(progress.percent, 1),
        "speed": progress.speed,
    }
    say(json.dumps(event))


@contextmanager
def _bar() -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.fields[blobs]}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    # Events arrive ten times a second, so the bar needs no thread to redraw it.
    bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    try:
        with suppress(OSError):  # a closed terminal must not stop the copy
            bar.start()
        task = bar.add_task("copy", blobs="")

        def listener(progress: Progress) -> None:
            if progress.event is not Event.FAILED:
                blobs = f"{progress.blobs_done}/{progress.blobs} blobs"
                with suppress(OSError):
                    bar.update(
                        task,
                        completed=progress.total_done,
                        total=progress.total,
                        blobs=blobs,
                        refresh=True,
                    )

        yield listener
    finally:
        with suppress(OSError):
            bar.stop()
