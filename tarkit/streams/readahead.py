"""One stage of a pipeline on a thread of its own: what is read here overlaps with what the caller does."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from queue import Empty, Queue

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import SLICE, Cancellation, check
from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.streams.workers import start_thread

DEPTH = 4
"""Chunks that wait for whoever reads, at the most."""


class ReadAhead(ChunkReader):
    """*stream*, read by a thread that stays at most *depth* chunks ahead.

    An error of *stream* is raised by the read that reaches it. Closing stops the thread first, even
    if it waits for a registry or a daemon, and closes *stream* after, so nobody reads from a closed
    stream.
    """

    def __init__(self, stream: Readable, depth: int = DEPTH) -> None:
        super().__init__(stream)
        self._queue: Queue[bytes | BaseException] = Queue(depth)
        self._cancellation = Cancellation()
        self._end: bytes | BaseException | None = None
        self._thread = start_thread(partial(copy_context().run, self._produce), "read-ahead")

    def _produce(self) -> None:
        try:
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
        item = self._next() if self._end is None else self._end
        if not item or isinstance(item, BaseException):
            self._end = item
        if isinstance(item, BaseException):
            raise item
        return item

    def _next(self) -> bytes | BaseException:
        """Return the next item. A signal just before a wait does not end it, so none is long."""
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
                while not self._queue.empty():
                    self._queue.get()
                self._thread.join(0.01)
        super().close()
