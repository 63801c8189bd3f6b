"""Where zstd frames begin and end, and what they need (RFC 8878, section 3.1).

The codec's reader does not say that a frame is cut short, and calls every other problem an error
of the data.
"""

from __future__ import annotations

from tarkit.errors import UnsupportedError
from tarkit.streams.chunks import Readable

WINDOW_LIMIT = 512 << 20
"""Bytes of the largest window that is read, which is memory: as much as skopeo, podman and containerd read."""

_MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY_ID_SIZES = (0, 1, 2, 4)
_CONTENT_SIZE_SIZES = (0, 2, 4, 8)
_RLE_BLOCK = 1
_START = 5  # bytes of a frame's header that tell how long it is
_BLOCK = 3  # bytes of a block's header


class FrameTracker:
    """Hands on the bytes of *stream* and follows the frames in them.

    :attr:`complete` tells whether the bytes read so far end with a whole frame. A read raises
    :class:`UnsupportedError` for a frame with a window over `WINDOW_LIMIT` or with a dictionary.
    """

    def __init__(self, stream: Readable, where: str | None = None) -> None:
        self._stream = stream
        self._where = where
        self._skip = 0  # bytes that lie before the next header
        self._head = b""  # a header that came in part
        self._size = _START  # of the header, as far as its bytes tell
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
            part = data[position : position + self._size - len(self._head)]
            self._head += part
            position += len(part)
            if len(self._head) == self._size:
                self._size = self._header_size()  # a frame's first five bytes tell of more
                if len(self._head) == self._size:
                    self._enter()

    def _header_size(self) -> int:
        if self._state == "block":
            return _BLOCK
        if not self._head.startswith(_MAGIC):  # a skippable frame, or what the codec will refuse
            return 8
        descriptor = self._head[4]
        single_segment = descriptor >> 5 & 1
        content_size = _CONTENT_SIZE_SIZES[descriptor >> 6] or single_segment
        return 5 + (1 - single_segment) + _DICTIONARY_ID_SIZES[descriptor & 3] + content_size

    def _enter(self) -> None:
        """Note what follows the header that has been read."""
        if self._state == "block":
            header = int.from_bytes(self._head, "little")
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            self._skip = 1 if kind == _RLE_BLOCK else size
            if last:
                self._skip += self._checksum
                self._state = "frame"
        elif self._head.startswith(_MAGIC):
            self._require_readable()
            self._checksum = 4 if self._head[4] & 4 else 0
            self._state = "block"
        else:
            self._skip = int.from_bytes(self._head[4:8], "little")
        self._head = b""
        self._size = _BLOCK if self._state == "block" else _START

    def _require_readable(self) -> None:
        descriptor = self._head[4]
        single_segment = descriptor >> 5 & 1
        id_at = 6 - single_segment
        size_at = id_at + _DICTIONARY_ID_SIZES[descriptor & 3]
        if single_segment:  # the content is the window
            window = int.from_bytes(self._head[size_at:], "little")
            window += 256 if descriptor >> 6 == 1 else 0
        else:
            window = (1 << 10 + (self._head[5] >> 3)) * (8 + (self._head[5] & 7)) >> 3
        if window > WINDOW_LIMIT:
            raise UnsupportedError(
                f"a zstd frame with a window of {-(-window >> 20)} MiB; "
                f"tarkit reads windows of up to {WINDOW_LIMIT >> 20} MiB",
                where=self._where,
            )
        if any(self._head[id_at:size_at]):
            raise UnsupportedError(
                "a zstd frame that needs a dictionary, which tarkit does not have",
                where=self._where,
            )
