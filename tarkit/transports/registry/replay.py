"""The bytes of an upload, the last of which can be had again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tarkit.streams import CHUNK_SIZE
from tarkit.streams.verify import VerifyingReader

WINDOW = 8 << 20
"""Bytes kept of each upload (8 MiB): more than a connection usually holds in flight."""

_PIECE = 256 << 10  # each send has a timeout of its own, so slow lines need small ones


class ReplayBody:
    """What *blob* holds, from any position within the last `WINDOW` bytes.

    Its last chunk is handed out only after all of *blob* was read and verified, so that no
    registry ever gets the whole of a blob that is not what it should be.
    """

    def __init__(self, blob: VerifyingReader) -> None:
        self._blob = blob
        self._kept: deque[tuple[int, bytes]] = deque()  # chunks, each with its position
        self._window = WINDOW
        self.end = 0  # bytes read so far
        self.complete = False
        self.failure: BaseException | None = None

    def reaches(self, position: int) -> bool:
        """Whether the bytes from *position* on can be had."""
        return (self._kept[0][0] if self._kept else 0) <= position <= self.end

    def pieces(self, position: int) -> Iterator[memoryview]:
        """The bytes from *position* on, to the end of the blob; raises what reading it raises."""
        while position < self.end or not self.complete:
            chunk = self._kept_at(position)
            while not self.complete and position + len(chunk) == self.end:
                self._read()
            yield from _pieces(chunk)
            position += len(chunk)

    def take(self, position: int, length: int) -> tuple[memoryview, ...]:
        """Return *length* bytes from *position* on, or all that are left; raises what reading them raises.

        They are kept until the bytes behind them are asked for, so they can be sent again.
        """
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
        """What is left, from *position* on, of the chunk that holds it; empty at the end."""
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
