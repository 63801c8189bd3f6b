"""Where zstd frames end (RFC 8878, section 3.1): the codec's reader does not say when one is cut short."""

from __future__ import annotations

from tarkit.streams.chunks import Readable

_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_ID_SIZES = (0, 1, 2, 4)
_CONTENT_SIZE_SIZES = (0, 2, 4, 8)
_RLE_BLOCK = 1


class FrameTracker:
    """Hands on what *stream* holds and follows the frames in it.

    :attr:`complete` tells whether what was read so far ends with a whole frame.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._skip = 0  # bytes that lie before the next header
        self._head = b""  # a header that came in part
        self._state = "frame"
        self._checksum = 0

    @property
    def complete(self) -> bool:
        """Whether the last frame begun has been read to its end."""
        return self._state == "frame" and not self._head and not self._skip

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes of the stream."""
        data = self._stream.read(size)
        self._follow(data)
        return data

    def _follow(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            self._head += data[position : position + 1]
            position += 1
            if len(self._head) == self._header_size():
                self._enter()
                self._head = b""

    def _header_size(self) -> int:
        if self._state == "block":
            return 3
        if len(self._head) < 5:
            return 5
        if not self._head.startswith(_MAGIC):  # a skippable frame, or what the codec will refuse
            return 8
        descriptor = self._head[4]
        single_segment = descriptor >> 5 & 1
        content_size = _CONTENT_SIZE_SIZES[descriptor >> 6] or single_segment
        return 5 + (1 - single_segment) + _DICTIONARY_ID_SIZES[descriptor & 3] + content_size

    def _enter(self) -> None:
        if self._state == "block":
            header = int.from_bytes(self._head, "little")
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            self._skip = 1 if kind == _RLE_BLOCK else size
            if last:
                self._skip += self._checksum
                self._state = "frame"
        elif self._head.startswith(_MAGIC):
            self._checksum = 4 if self._head[4] & 4 else 0
            self._state = "block"
        else:
            self._skip = int.from_bytes(self._head[4:8], "little")
