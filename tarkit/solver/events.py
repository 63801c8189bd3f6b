"""Progress of a build, as events: what a terminal, a log or BuildKit's status shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tarkit.llb.messages import ProgressGroup, Range, SourceInfo
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class VertexEvent:
    """The state of a vertex, sent again with each change. Times are in seconds since the epoch.

    - ``inputs``: digests of the vertices below.
    - ``started``, ``completed``: None until then. A cached vertex may have neither.
    - ``cached``: whether its result came from the cache, or was not needed because of it.
    - ``error``: why it failed, or an empty text.
    """

    digest: str
    name: str
    inputs: Sequence[str] = ()
    started: float | None = None
    completed: float | None = None
    cached: bool = False
    error: str = ""
    group: ProgressGroup | None = None


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """A part of a vertex in progress, such as a download: *current* of *total*, 0 if unknown."""

    vertex: str
    id: str
    name: str
    current: int
    total: int
    timestamp: float
    started: float | None = None
    completed: float | None = None


@dataclass(frozen=True, slots=True)
class LogEvent:
    """Output of a vertex; *stream* is 1 for its output and 2 for its errors."""

    vertex: str
    stream: int
    data: bytes
    timestamp: float


@dataclass(frozen=True, slots=True)
class WarningEvent:
    """A warning about a vertex, which need not exist, and its place in a source file."""

    vertex: str
    level: int
    short: bytes
    detail: Sequence[bytes] = ()
    url: str = ""
    source: SourceInfo | None = None
    ranges: Sequence[Range] = ()


BuildEvent = VertexEvent | StatusEvent | LogEvent | WarningEvent

OnEvent = Callable[[BuildEvent], None]
"""Receives events, in order and from one thread at a time; it must not wait for the build."""
