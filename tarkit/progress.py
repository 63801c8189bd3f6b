"""Progress: what happens to each blob, as events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tarkit.errors import CancelledError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import check
from tarkit.streams.chunks import ChunkReader, Readable

_INTERVAL = 0.1  # seconds between two words of how far a copy is


class Event(Enum):
    """What happened to a blob."""

    STARTED = "started"
    ADVANCED = "advanced"
    REUSED = "reused"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """An event of one blob, named by its digest at the source; ``done`` of ``size`` bytes were read there.

    ``blobs_done`` of ``blobs`` and ``total_done`` of ``total`` bytes tell of the whole copy, which
    has taken ``seconds``; what was reused counts as done. Of several images each is counted in when
    its turn comes.
    """

    event: Event
    digest: Digest
    done: int
    size: int
    blobs_done: int
    blobs: int
    total_done: int
    total: int
    seconds: float

    @property
    def percent(self) -> float:
        """How much of the whole is done, 0 to 100: of the bytes where they are known, else of the blobs."""
        if self.total:
            return min(100.0, 100 * self.total_done / self.total)
        return 100 * self.blobs_done / self.blobs if self.blobs else 0.0

    @property
    def speed(self) -> int:
        """Bytes per second so far, on average."""
        return int(self.total_done / self.seconds) if self.seconds > 0 else 0


class ProgressTracker:
    """Counts a copy's bytes, tells of them, and carries the word to stop to every thread."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._blobs = self._blobs_done = self._total = self._total_done = 0
        self._told = 0.0
        self._begin = time.monotonic()
        self._done: dict[Digest, int] = {}
        self.read = 0

    def expect(self, blob: Descriptor) -> None:
        """Count *blob* among those to come."""
        with self._lock:
            self._blobs += 1
            self._total += blob.size

    def cancel(self) -> None:
        """Make every watched stream raise :class:`CancelledError` at its next read."""
        self._stop.set()

    def check(self) -> None:
        """Raise :class:`CancelledError` when it is time to stop."""
        check()
        if self._stop.is_set():
            raise CancelledError("cancelled")

    def watch(self, stream: Readable, blob: Descriptor) -> ChunkReader:
        """*stream*, whose bytes are counted for *blob*."""
        return _Watched(stream, blob, self)

    def advance(self, blob: Descriptor, done: int, step: int) -> None:
        """*step* more bytes of *blob* were read; raises :class:`CancelledError` when it is time to stop."""
        self.check()
        with self._lock:
            self.read += step
            self._total_done += done - self._done.get(blob.digest, 0)  # less, when it starts over
            self._done[blob.digest] = done
        now = time.monotonic()
        if now - self._told >= _INTERVAL:
            self._told = now
            self.tell(Event.ADVANCED, blob, done)

    def done(self, event: Event, blob: Descriptor) -> None:
        """*blob* is there: finished or reused."""
        with self._lock:
            self._blobs_done += 1
            if event is Event.REUSED:
                self._total_done += blob.size
        self.tell(event, blob, blob.size)

    def tell(self, event: Event, blob: Descriptor, done: int = 0) -> None:
        """Report *event* of *blob*."""
        if self._on_progress is None:
            return
        with self._lock:
            self._on_progress(
                Progress(
                    event,
                    blob.digest,
                    done,
                    blob.size,
                    self._blobs_done,
                    self._blobs,
                    self._total_done,
                    self._total,
                    time.monotonic() - self._begin,
                )
            )


class _Watched(ChunkReader):
    def __init__(self, stream: Readable, blob: Descriptor, watcher: ProgressTracker) -> None:
        super().__init__(stream)
        self._blob = blob
        self._watcher = watcher
        self._done = 0

    def _chunk(self) -> bytes:
        chunk = self._stream.read(CHUNK_SIZE)
        self._done += len(chunk)
        self._watcher.advance(self._blob, self._done, len(chunk))
        return chunk
