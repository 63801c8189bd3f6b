"""Detect truncated and unsupported zstd frames (RFC 8878, section 3.1).

The codec does not report truncated frames, and reports unsupported frames as corrupt.
"""

from __future__ import annotations

from tarkit.errors import UnsupportedError
from tarkit.streams.chunks import Readable

WINDOW_LIMIT = 512 << 20
"""Maximum window size in bytes, as in skopeo, podman and containerd.

A decoder needs that much memory.
"""

_MAGIC = b"\x28\xb5\x2f\xfd"
# Frame header (section 3.1.1.1): magic 4 bytes, descriptor 1, window 0-1, dictionary ID 0-4, size
# of the content 0-8. Bits of the descriptor: 0-1 size of the dictionary ID, 2 checksum, 5 single
# segment, 6-7 size of the content size.
_DICTIONARY_ID_SIZES = (0, 1, 2, 4)
_CONTENT_SIZE_SIZES = (0, 2, 4, 8)
_SKIPPABLE_SIZE = 8  # header of a skippable frame (section 3.1.2): magic 4, size 4
_CHECKSUM_SIZE = 4
_RLE_BLOCK = 1  # block type that repeats a single byte
_START = 5  # bytes needed to compute the size of a frame header
_BLOCK = 3  # bytes of a block header (section 3.1.1.2): last 1 bit, type 2 bits, size 21 bits

_SKIPPABLE_STARTS = frozenset(bytes([first]) for first in range(0x50, 0x60))


class FrameTracker:
    """Passes *stream* through unchanged and follows its frames.

    :attr:`complete` is true if the bytes read so far end at the end of a frame. :meth:`read` raises
    :class:`UnsupportedError` if a frame has a window over :data:`WINDOW_LIMIT` or a dictionary.
    """

    def __init__(self, stream: Readable, where: str | None = None) -> None:
        self._stream = stream
        self._where = where
        self._skip = 0  # bytes before the next header
        self._head = b""  # an incomplete header
        self._size = _START  # of the header; may grow as more of it is read
        self._state = "frame"
        self._checksum = 0

    @property
    def complete(self) -> bool:
        """True if the last frame has been read completely."""
        return self._state == "frame" and not self._head and not self._skip

    @property
    def followed(self) -> bool:
        """True if a few bytes that begin no frame follow the last complete one."""
        begins = _MAGIC.startswith(self._head[:4]) or self._head[:1] in _SKIPPABLE_STARTS
        return self._state == "frame" and not self._skip and bool(self._head) and not begins

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes of the stream."""
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
            # The header's size is not known before its descriptor has been read.
            position += len(part)
            if len(self._head) == self._size:
                self._size = self._header_size()  # may grow once the descriptor is known
                if len(self._head) == self._size:
                    self._enter()

    def _header_size(self) -> int:
        if self._state == "block":
            return _BLOCK
        if not self._head.startswith(
            _MAGIC
        ):  # a skippable frame, or invalid data that the codec rejects
            return _SKIPPABLE_SIZE
        descriptor = self._head[4]
        single_segment = descriptor >> 5 & 1
        content_size = _CONTENT_SIZE_SIZES[descriptor >> 6] or single_segment
        return 5 + (1 - single_segment) + _DICTIONARY_ID_SIZES[descriptor & 3] + content_size

    def _enter(self) -> None:
        """Process a complete header."""
        if self._state == "block":
            header = int.from_bytes(self._head, "little")
            last, kind, size = header & 1, header >> 1 & 3, header >> 3
            self._skip = 1 if kind == _RLE_BLOCK else size
            # Blocks follow one another without a count; a checksum may follow the last one.
            if last:
                self._skip += self._checksum
                self._state = "frame"
        elif self._head.startswith(_MAGIC):
            self._require_readable()
            self._checksum = _CHECKSUM_SIZE if self._head[4] & 4 else 0
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
        if single_segment:  # the window size is the content size
            window = int.from_bytes(self._head[size_at:], "little")
            window += 256 if descriptor >> 6 == 1 else 0  # two-byte sizes are stored minus 256
        else:  # exponent 5 bits, mantissa 3 bits (section 3.1.1.1.2)
            window = (1 << 10 + (self._head[5] >> 3)) * (8 + (self._head[5] & 7)) >> 3
        if window > WINDOW_LIMIT:
            raise UnsupportedError(
                f"zstd frame with a window of {-(-window >> 20)} MiB; "
                f"tarkit supports up to {WINDOW_LIMIT >> 20} MiB",
                where=self._where,
            )
        if any(self._head[id_at:size_at]):
            raise UnsupportedError(
                "zstd frame with a dictionary, which tarkit does not support",
                where=self._where,
            )
