"""Report the progress of a copy, one blob at a time."""

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

_INTERVAL = 0.1  # seconds between two ADVANCED events


class Event(Enum):
    """A step in the transfer of a blob."""

    STARTED = "started"
    ADVANCED = "advanced"
    REUSED = "reused"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """An event of one blob, and the state of the whole copy.

    ``digest`` is the blob's digest at the source; ``done`` of its ``size`` bytes have been read.
    ``blobs_done`` of ``blobs`` blobs and ``total_done`` of ``total`` bytes were finished in
    ``seconds``. Reused blobs count as done. If a copy has several images, each image adds to the
    totals when it starts.
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
        """Completed percentage of the copy, 0 to 100, by bytes or, if there are none, by blobs."""
        if self.total:
            return min(100.0, 100 * self.total_done / self.total)
        return 100 * self.blobs_done / self.blobs if self.blobs else 0.0

    @property
    def speed(self) -> int:
        """Average speed since the start, in bytes per second."""
        return int(self.total_done / self.seconds) if self.seconds > 0 else 0


class ProgressTracker:
    """Counts the bytes of a copy, reports them to *on_progress*, and cancels all its threads.

    ``read`` is the number of bytes read from the source. All methods are thread-safe.
    """

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._blobs = self._blobs_done = self._total = self._total_done = 0
        self._last_report = 0.0
        self._begin = time.monotonic()
        self._done: dict[Digest, int] = {}
        self.read = 0

    def expect(self, blob: Descriptor) -> None:
        """Add *blob* to the totals."""
        with self._lock:
            self._blobs += 1
            self._total += blob.size

    def cancel(self) -> None:
        """Make every watched stream raise :class:`CancelledError` on its next read."""
        self._stop.set()

    def check(self) -> None:
        """Raise :class:`CancelledError` if the copy was cancelled."""
        check()
        if self._stop.is_set():
            raise CancelledError("cancelled")

    def watch(self, stream: Readable, blob: Descriptor) -> ChunkReader:
        """Return a stream that reads *stream* and counts its bytes for *blob*."""
        return _WatchedStream(stream, blob, self)

    def advance(self, blob: Descriptor, done: int, step: int) -> None:
        """Count *step* more bytes of *blob*, which make *done* bytes in all.

        Raises :class:`CancelledError` if the copy was cancelled.
        """
        self.check()
        with self._lock:
            self.read += step
            # A retry starts at 0 again, so the total may decrease.
            self._total_done += done - self._done.get(blob.digest, 0)
            self._done[blob.digest] = done
        now = time.monotonic()
        if now - self._last_report >= _INTERVAL:
            self._last_report = now
            self.tell(Event.ADVANCED, blob, done)

    def done(self, event: Event, blob: Descriptor) -> None:
        """Count *blob* as complete; *event* is FINISHED or REUSED."""
        with self._lock:
            self._blobs_done += 1
            if event is Event.REUSED:
                self._total_done += blob.size
        self.tell(event, blob, blob.size)

    def tell(self, event: Event, blob: Descriptor, done: int = 0) -> None:
        """Report *event* of *blob*, of which *done* bytes have been read, to the callback."""
        if self._on_progress is None:
            return
        with self._lock:  # callbacks run one at a time
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


class _WatchedStream(ChunkReader):
    def __init__(self, stream: Readable, blob: Descriptor, tracker: ProgressTracker) -> None:
        super().__init__(stream)
        self._blob = blob
        self._tracker = tracker
        self._done = 0

    def _chunk(self) -> bytes:
        chunk = self._stream.read(CHUNK_SIZE)
        self._done += len(chunk)
        self._tracker.advance(self._blob, self._done, len(chunk))
        return chunk
