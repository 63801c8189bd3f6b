"""Read ahead on a thread, so that reading overlaps with the caller's work."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from queue import Empty, Queue

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import SLICE, Cancellation, check
from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.streams.workers import start_thread

DEPTH = 4
"""Default number of chunks to read ahead."""


class ReadAhead(ChunkReader):
    """Reads *stream* on a thread that stays at most *depth* chunks ahead.

    If reading *stream* fails, the read that gets that far raises the error. Closing first stops the
    thread, even if it waits for a registry or a daemon, and then *stream*, so nothing reads a
    closed stream.
    """

    def __init__(self, stream: Readable, depth: int = DEPTH) -> None:
        super().__init__(stream)
        self._queue: Queue[bytes | BaseException] = Queue(depth)
        self._cancellation = Cancellation()
        self._end: bytes | BaseException | None = None
        # The copied context carries the caller's cancellations to the thread.
        self._thread = start_thread(partial(copy_context().run, self._produce), "read-ahead")

    def _produce(self) -> None:
        try:
            # A second cancellation, so that close() can stop the thread alone.
            with self._cancellation:
                while True:
                    check()
                    chunk = self._stream.read(CHUNK_SIZE)
                    self._queue.put(chunk)
                    if not chunk:
                        return
        except BaseException as error:  # noqa: BLE001  raised again in the reader's thread
            self._queue.put(error)

    def _chunk(self) -> bytes:
        # After the end or an error, the thread is gone; repeat its last item.
        item = self._next() if self._end is None else self._end
        if not item or isinstance(item, BaseException):
            self._end = item
        if isinstance(item, BaseException):
            raise item
        return item

    def _next(self) -> bytes | BaseException:
        """Return the next item; wait in slices, or a signal just before a wait goes unnoticed."""
        while True:
            try:
                return self._queue.get(timeout=SLICE)
            except Empty:
                check()

    def close(self) -> None:
        """Stop the thread, then close the stream."""
        if not self.closed:
            self._cancellation.cancel()
            while self._thread.is_alive():  # it may be waiting for room in the queue
                # A blocked put() must return before the thread can check for the cancellation.
                while not self._queue.empty():
                    self._queue.get()
                self._thread.join(0.01)
        super().close()
