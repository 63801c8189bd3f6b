"""The body of an upload, with a window of recent bytes that can be sent again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.verify import VerifyingReader

WINDOW = 8 << 20
"""Bytes kept of each upload (8 MiB): more than a connection usually has in flight."""

_PIECE = 256 << 10  # small, because the timeout applies to each send


class ReplayBody:
    """The bytes of *blob*, from any position in the last :data:`WINDOW` bytes.

    The last chunk is returned only after all of *blob* has been read and verified, so a registry
    never receives a complete blob with wrong content.
    """

    def __init__(self, blob: VerifyingReader) -> None:
        self._blob = blob
        self._kept: deque[tuple[int, bytes]] = deque()  # chunks, each with its position
        self._window = WINDOW
        self.end = 0  # bytes read so far
        self.complete = False
        self.failure: BaseException | None = None

    def reaches(self, position: int) -> bool:
        """Return True if the bytes from *position* on are still kept."""
        return (self._kept[0][0] if self._kept else 0) <= position <= self.end

    def pieces(self, position: int) -> Iterator[memoryview]:
        """Yield the bytes from *position* to the end of the blob; raise the errors of reading it."""
        while position < self.end or not self.complete:
            # Before sending what could be the last chunk, read on until the blob is verified.
            chunk = self._kept_at(position)
            while not self.complete and position + len(chunk) == self.end:
                self._read()
            yield from _pieces(chunk)
            position += len(chunk)

    def take(self, position: int, length: int) -> tuple[memoryview, ...]:
        """Return *length* bytes from *position* on, or the rest; raise the errors of reading them.

        They can be taken again until later bytes are taken.
        """
        # Keep the whole piece, and chunks that overlap its ends.
        self._window = max(self._window, length + 2 * CHUNK_SIZE)
        while not self.complete and self.end <= position + length:
            self._read()
        pieces: list[memoryview] = []
        while length and (chunk := self._kept_at(position)[:length]):
            pieces.extend(_pieces(chunk))
            position += len(chunk)
            length -= len(chunk)
        return tuple(pieces)

    def _kept_at(self, position: int) -> memoryview:
        """Return the rest of the chunk at *position*, starting there; empty at the end."""
        for start, chunk in reversed(self._kept):
            if start <= position:
                return memoryview(chunk)[position - start :]
        return memoryview(b"")

    def _read(self) -> None:
        try:
            chunk = self._blob.read(CHUNK_SIZE)
        except BaseException as error:
            self.failure = error
            raise
        if not chunk:
            self.complete = True
            return
        self._kept.append((self.end, chunk))
        self.end += len(chunk)
        while self.end - self._kept[0][0] - len(self._kept[0][1]) >= self._window:
            self._kept.popleft()


def _pieces(chunk: memoryview) -> Iterator[memoryview]:
    return (chunk[at : at + _PIECE] for at in range(0, len(chunk), _PIECE))
