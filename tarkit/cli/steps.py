"""Text for the progress of a build: one line per step, as users of buildx know it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

from tarkit.errors import one_line
from tarkit.solver.events import BuildEvent, LogEvent, StatusEvent, VertexEvent, WarningEvent

_MOST_LOG_LINES = 100  # of a step, kept for its failure
_SHOWN_LOG_LINES = 6  # of a running step
_LONGEST_LINE = 2000  # characters of a line of a log


class Step:
    """A step: its last event, its parts in progress, and the last lines of its output."""

    def __init__(self, number: int, event: VertexEvent) -> None:
        self.number = number
        self.event = event
        self.parts: dict[str, StatusEvent] = {}
        self.log: deque[str] = deque(maxlen=_MOST_LOG_LINES)
        self.fresh: list[str] = []
        self._rest = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing more happens, as far as is known."""
        return self.event.completed is not None or (self.event.cached and not self.is_running)

    @property
    def is_running(self) -> bool:
        """Whether the step has begun and not ended."""
        return self.event.started is not None and self.event.completed is None

    @property
    def is_visible(self) -> bool:
        """Whether there is anything to tell."""
        return self.event.started is not None or self.event.cached or self.is_done

    def seconds(self, now: float) -> float:
        """Return how long the step has taken."""
        if self.event.started is None:
            return 0.0
        return max(0.0, (self.event.completed or now) - self.event.started)

    def title(self) -> str:
        """Return the name, and the mark of steps that failed or did not run."""
        mark = "ERROR " if self.event.error else "CACHED " if self.event.cached else ""
        return mark + one_line(self.event.name)

    def add_log(self, data: bytes) -> None:
        """Add output; ``fresh`` has the lines that are complete now."""
        *lines, rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        self._rest = rest[-_LONGEST_LINE:]
        shown = [one_line(line.rpartition("\r")[2] or line.rstrip("\r")) for line in lines]
        self.fresh = [line[:_LONGEST_LINE] for line in shown]
        self.log += self.fresh

    def tail(self) -> list[str]:
        """Return the last lines of the output, complete or not."""
        return [*self.log, *([one_line(self._rest)] if self._rest else [])]


class Steps:
    """All steps of a build, in the order in which they appeared; :meth:`add` takes the events."""

    def __init__(self) -> None:
        self.began = time.time()
        self.steps: dict[str, Step] = {}
        self.warnings: list[WarningEvent] = []
        self.finished = False

    def add(self, event: BuildEvent) -> Step | None:
        """Update the step of *event* and return it; None for warnings and unknown steps."""
        if isinstance(event, WarningEvent):
            self.warnings.append(event)
            return None
        if isinstance(event, VertexEvent):
            step = self.steps.setdefault(event.digest, Step(len(self.steps) + 1, event))
            step.event = event
            return step
        found = self.steps.get(event.vertex)
        if found is not None and isinstance(event, StatusEvent):
            found.parts[event.id] = event
        elif found is not None and isinstance(event, LogEvent):
            found.add_log(event.data)
        return found

    def lines(self, width: int, height: int) -> list[str]:
        """Return a heading and the lines of steps, at most *height*, each at most *width* columns."""
        now = time.time()
        visible = [step for step in self.steps.values() if step.is_visible]
        parts = [list(_lines(step, now, width)) for step in visible]
        if not self.finished:  # leave out the oldest of those that are done
            extra = sum(map(len, parts)) - max(1, height - 1)
            for position, step in enumerate(visible):
                if extra > 0 and not step.is_running:
                    extra -= len(parts[position])
                    parts[position] = []
        lines = [line for part in parts for line in part]
        room = len(lines) if self.finished else max(1, height - 1)
        return [line[:width] for line in (self._heading(now), *lines[-room:])]

    def _heading(self, now: float) -> str:
        done = sum(step.is_done for step in self.steps.values())
        end = " FINISHED" if self.finished else ""
        return f"[+] Building {now - self.began:.1f}s ({done}/{len(self.steps)}){end}"

    def failed(self) -> Step | None:
        """Return the first step that failed, or None."""
        return next((step for step in self.steps.values() if step.event.error), None)


def _lines(step: Step, now: float, width: int) -> Iterator[str]:
    yield _timed(f" => {step.title()}", step.seconds(now), width)
    if step.is_running:
        for part in step.parts.values():
            seconds = (part.completed or now) - (part.started or now)
            yield _timed(f" => => {part_text(part)}", seconds, width)
        for line in step.tail()[-_SHOWN_LOG_LINES:]:
            yield f" => => # {line}"


def part_text(part: StatusEvent) -> str:
    """Return the name of a part of a step, and its amount."""
    amount = f" {part.current}" if part.current else ""
    amount += f" / {part.total}" if part.total else ""
    return one_line(part.name) + amount


def _timed(text: str, seconds: float, width: int) -> str:
    """Return a line with the time at its right end."""
    right = f" {seconds:.1f}s"
    room = max(0, width - len(right))
    return text[:room].ljust(room) + right
