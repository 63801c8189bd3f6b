"""Text for progress: one line per active blob and a total, at any width."""

from __future__ import annotations

from tarkit.cli.common import size_text
from tarkit.errors import one_line
from tarkit.progress import Event, Progress

_SETTLING = 2.0  # seconds before speed and remaining time mean anything
_MOST_BLOBS = 8
_LEAST_BAR = 8  # columns


class ProgressText:
    """The state of one operation as text; :meth:`add` takes its events."""

    def __init__(self) -> None:
        self._blobs: dict[str, Progress] = {}
        self._last: Progress | None = None
        self._phase = ""

    def add(self, progress: Progress) -> None:
        """Update the state with *progress*."""
        if progress.event is Event.PHASE:
            self._phase = progress.name
            return
        self._phase = ""
        self._last = progress
        if progress.event in (Event.STARTED, Event.ADVANCED):
            self._blobs[progress.name] = progress
        else:
            self._blobs.pop(progress.name, None)

    def lines(self, width: int) -> list[str]:
        """Return a line per active blob and one for the total, each at most *width* columns."""
        if self._phase:
            return [one_line(self._phase)[:width]]
        if self._last is None:
            return []
        blobs = [_blob_line(blob, width) for blob in list(self._blobs.values())[:_MOST_BLOBS]]
        return [*blobs, _total_line(self._last, width)]

    def summary(self) -> str:
        """Return the state as one line for a log, or an empty text before the first event."""
        if self._phase:
            return one_line(self._phase)
        if self._last is None:
            return ""
        return ", ".join((_counts(self._last), _amount(self._last), *_rates(self._last)))


def _blob_line(blob: Progress, width: int) -> str:
    name = one_line(blob.name)
    short = name.rpartition(":")[2][:12] if blob.digest else name[-24:]
    return _fit(short, _percent(blob.done, blob.size), [_of(blob.done, blob.size)], width)


def _total_line(last: Progress, width: int) -> str:
    percent = _percent(last.total_done, last.total)
    return _fit(_counts(last), percent, [_amount(last), *_rates(last)], width)


def _fit(name: str, percent: int, details: list[str], width: int) -> str:
    """Return a line with as many of *details* as leave room for a bar."""
    text = f"{percent:3}%"
    for detail in details:
        if len(name) + len(text) + len(detail) + _LEAST_BAR + 4 > width:
            break
        text = f"{text}  {detail}"
    room = min(width - len(name) - len(text) - 2, 30)
    if room < _LEAST_BAR:
        return f"{name} {text}"[:width]
    done = room * percent // 100
    return f"{name} {'#' * done}{'.' * (room - done)} {text}"


def _percent(done: int, size: int) -> int:
    return min(100, 100 * done // size) if size else 100


def _of(done: int, size: int) -> str:
    return f"{size_text(done)} of {size_text(size)}"


def _counts(last: Progress) -> str:
    return f"{last.blobs_done} of {last.blobs} blobs"


def _amount(last: Progress) -> str:
    return _of(last.total_done, last.total)


def _rates(last: Progress) -> list[str]:
    """Return speed and remaining time, if enough time has passed to estimate them."""
    remaining = last.remaining
    if last.seconds < _SETTLING or remaining is None:
        return []
    return [f"{size_text(last.speed)}/s", f"{_duration(remaining)} left"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
