"""Read ahead on a thread, so that reading overlaps with the caller's work."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.cancellation import Cancellation, check
from tarkit.streams.channel import Channel
from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.streams.threads import start_thread

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
        self._chunks: Channel[bytes | BaseException] = Channel(depth)
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
                    self._chunks.put(chunk)
                    if not chunk:
                        return
        except BaseException as error:  # noqa: BLE001  raised again in the reader's thread
            self._chunks.put_last(error)

    def _chunk(self) -> bytes:
        # After the end or an error, the thread is gone; repeat its last item.
        item = self._chunks.get() if self._end is None else self._end
        if not item or isinstance(item, BaseException):
            self._end = item
        if isinstance(item, BaseException):
            raise item
        return item

    def close(self) -> None:
        """Stop the thread, then close the stream."""
        if not self.closed:
            self._cancellation.cancel()
            self._chunks.add_room()  # the thread may be waiting for room
            self._thread.join()
        super().close()
