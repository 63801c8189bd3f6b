"""Views of a build's events: a log, or NDJSON."""

from __future__ import annotations

import threading

from tarkit.cli.messages import say, say_event
from tarkit.cli.steps import Step, Steps, part_text
from tarkit.errors import one_line
from tarkit.solver.events import BuildEvent, LogEvent, StatusEvent, VertexEvent, WarningEvent


class BuildView:
    """Takes the events of a build, from any thread, and keeps its steps; shows nothing itself."""

    def __init__(self) -> None:
        self.steps = Steps()
        self._lock = threading.Lock()

    def __call__(self, event: BuildEvent) -> None:
        """Take an event."""
        with self._lock:
            self._show(event, self.steps.add(event))

    def _show(self, event: BuildEvent, step: Step | None) -> None:
        """Show *event* of *step*."""

    def finish(self) -> None:
        """Show the end of the build; further calls do nothing."""


class PlainView(BuildView):
    """Prints a line for each event: ``#3 copy /a /b``, ``#3 DONE 0.1s``."""

    def __init__(self) -> None:
        super().__init__()
        self._last = 0
        self._named: set[int] = set()

    def _show(self, event: BuildEvent, step: Step | None) -> None:
        if isinstance(event, WarningEvent):
            say(f"WARNING: {warning_text(event)}")
        elif step is None or not step.is_visible:
            return
        elif isinstance(event, VertexEvent):
            self._vertex(step)
        elif isinstance(event, LogEvent):
            for line in step.fresh:
                self._line(step, line)
        elif event.completed is not None:
            self._line(step, f"{part_text(event)} done")

    def _vertex(self, step: Step) -> None:
        if step.event.error:
            self._line(step, f"ERROR: {one_line(step.event.error)}")
        elif step.event.cached:
            self._line(step, "CACHED")
        elif step.is_running and step.number not in self._named:
            self._heading(step)
        elif step.is_done and step.event.started != step.event.completed:
            self._line(step, f"DONE {step.seconds(0):.1f}s")

    def _line(self, step: Step, text: str) -> None:
        if self._last != step.number:
            self._heading(step)
        say(f"#{step.number} {text}")

    def _heading(self, step: Step) -> None:
        if self._last:
            say("")
        self._last = step.number
        self._named.add(step.number)
        say(f"#{step.number} {one_line(step.event.name)}")


class JsonView(BuildView):
    """Prints each event as a JSON object on one line."""

    def _show(self, event: BuildEvent, step: Step | None) -> None:
        match event:
            case VertexEvent():
                say_event(
                    "step", digest=event.digest, name=event.name, inputs=list(event.inputs),
                    started=event.started, completed=event.completed, cached=event.cached,
                    error=event.error,
                )  # fmt: skip
            case StatusEvent():
                say_event(
                    "part", step=event.vertex, id=event.id, name=event.name, current=event.current,
                    total=event.total, started=event.started, completed=event.completed,
                )  # fmt: skip
            case LogEvent():
                text = event.data.decode("utf-8", "replace")
                say_event("log", step=event.vertex, stream=event.stream, text=text)
            case WarningEvent():
                say_event(
                    "warning", step=event.vertex, level=event.level, message=_text(event.short),
                    detail=[_text(line) for line in event.detail], url=event.url,
                )  # fmt: skip


def warning_text(event: WarningEvent) -> str:
    """Return a warning as one line."""
    text = one_line(_text(event.short))
    place = ""
    if event.source is not None:
        line = next((each.start.line for each in event.ranges if each.start is not None), 0)
        place = f" ({one_line(event.source.filename)}{f':{line}' if line else ''})"
    return f"{text}{place}{f' {one_line(event.url)}' if event.url else ''}"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
