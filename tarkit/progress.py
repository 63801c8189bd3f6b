"""Report the progress of a copy, a verification or an output, one blob at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from tarkit.errors import CancelledError
from tarkit.image.digest import Digest
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import check
from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.values import dataclass

_INTERVAL = 0.1  # seconds between two ADVANCED events


class Event(Enum):
    """A step in the transfer of a blob, or the start of a phase without blobs."""

    STARTED = "started"
    ADVANCED = "advanced"
    REUSED = "reused"
    FINISHED = "finished"
    FAILED = "failed"
    PHASE = "phase"


@dataclass(frozen=True, slots=True)
class Progress:
    """An event of one blob, and the state of the whole operation.

    ``digest`` is the blob's digest at the source, and ``name`` its text, or the file name if the
    blob has no digest; ``done`` of its ``size`` bytes have been read. An event of type PHASE has no
    blob: ``name`` is the phase that begins, such as ``hashing``, and ``digest`` is None.

    ``blobs_done`` of ``blobs`` blobs and ``total_done`` of ``total`` bytes were finished in
    ``seconds``. Reused blobs count as done. If a copy has several images, each image adds to the
    totals when it starts.
    """

    event: Event
    digest: Digest | None
    done: int
    size: int
    blobs_done: int
    blobs: int
    total_done: int
    total: int
    seconds: float
    name: str = ""

    @property
    def percent(self) -> float:
        """Completed percentage, 0 to 100, by bytes or, if there are none, by blobs."""
        if self.total:
            return min(100.0, 100 * self.total_done / self.total)
        return 100 * self.blobs_done / self.blobs if self.blobs else 0.0

    @property
    def speed(self) -> int:
        """Average speed since the start, in bytes per second."""
        return int(self.total_done / self.seconds) if self.seconds > 0 else 0

    @property
    def remaining(self) -> float | None:
        """Estimated seconds until all bytes are done, or None if there is no estimate."""
        if not self.total_done:
            return None
        return max(0, self.total - self.total_done) * self.seconds / self.total_done


class Blob(Protocol):
    """The content that an event is about: a descriptor, or a file whose ``name`` identifies it."""

    @property
    def digest(self) -> Digest | None:
        """Digest, if known."""
        ...

    @property
    def size(self) -> int:
        """Size in bytes."""
        ...


class ProgressTracker:
    """Counts the bytes that are read, reports them to *on_progress*, and cancels all threads.

    ``read`` is the number of bytes read from the source. All methods are thread-safe.
    """

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._blobs = self._blobs_done = self._total = self._total_done = 0
        self._last_report = 0.0
        self._begin = time.monotonic()
        self._done: dict[str, int] = {}
        self.read = 0

    def expect(self, blob: Blob) -> None:
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

    def watch(self, stream: Readable, blob: Blob) -> ChunkReader:
        """Return a stream that reads *stream* and counts its bytes for *blob*."""
        return _WatchedStream(stream, blob, self)

    def advance(self, blob: Blob, done: int, step: int) -> None:
        """Count *step* more bytes of *blob*, which make *done* bytes in all.

        Raises :class:`CancelledError` if the copy was cancelled.
        """
        self.check()
        with self._lock:
            self.read += step
            # A retry starts at 0 again, so the total may decrease.
            name = _name(blob)
            self._total_done += done - self._done.get(name, 0)
            self._done[name] = done
        now = time.monotonic()
        if now - self._last_report >= _INTERVAL:
            self._last_report = now
            self.tell(Event.ADVANCED, blob, done)

    def done(self, event: Event, blob: Blob) -> None:
        """Count *blob* as complete; *event* is FINISHED or REUSED."""
        with self._lock:
            self._blobs_done += 1
            if event is Event.REUSED:
                self._total_done += blob.size
        self.tell(event, blob, blob.size)

    def tell(self, event: Event, blob: Blob, done: int = 0) -> None:
        """Report *event* of *blob*, of which *done* bytes have been read, to the callback."""
        self._report(event, blob.digest, done, blob.size, _name(blob))

    def begin_phase(self, name: str) -> None:
        """Report the start of a phase without blobs, such as ``hashing``."""
        self._report(Event.PHASE, None, 0, 0, name)

    def _report(self, event: Event, digest: Digest | None, done: int, size: int, name: str) -> None:
        if self._on_progress is None:
            return
        with self._lock:  # callbacks run one at a time
            self._on_progress(
                Progress(
                    event,
                    digest,
                    done,
                    size,
                    self._blobs_done,
                    self._blobs,
                    self._total_done,
                    self._total,
                    time.monotonic() - self._begin,
                    name,
                )
            )


def _name(blob: Blob) -> str:
    return getattr(blob, "name", None) or str(blob.digest)


class _WatchedStream(ChunkReader):
    def __init__(self, stream: Readable, blob: Blob, tracker: ProgressTracker) -> None:
        super().__init__(stream)
        self._blob = blob
        self._tracker = tracker
        self._done = 0

    def _chunk(self) -> bytes:
        chunk = self._stream.read(CHUNK_SIZE)
        self._done += len(chunk)
        self._tracker.advance(self._blob, self._done, len(chunk))
        return chunk
