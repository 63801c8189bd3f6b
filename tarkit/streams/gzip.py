"""Parallel gzip compression: one member (RFC 1952) with chunks deflated by several threads.

Each chunk is deflated separately and ends on a byte boundary (a sync flush), so the chunks join
into one deflate stream. Chunk borders depend only on the input, and so does the output.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any

from tarkit.streams.chunks import ChunkReader, Readable

if TYPE_CHECKING:
    from concurrent.futures import Future

    from tarkit.streams.workers import Pool

# ID1, ID2, CM (deflate), FLG, MTIME (none), XFL, OS (unknown): RFC 1952, section 2.3
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_END = b"\x03\x00"  # an empty final block with fixed codes (RFC 1951, section 3.2.6)
_TRAILER = struct.Struct("<II")  # CRC32 and ISIZE, the size modulo 2**32
_MEMORY_LEVEL = 9
_CHUNK_SIZE = 1 << 20  # changing it changes the output
_WORKERS = min(os.cpu_count() or 1, 8)
_IN_FLIGHT = (
    min(_WORKERS, 4) + 1
)  # chunks per stream; four workers deflate as fast as one thread hashes
_LEVEL = 6  # zlib's default; isal's level 2 is 1.5 times as fast as 3, with 2 % more output
_ISAL_LEVELS = {0: 0, 1: 1, 2: 1}  # levels of zlib and their equivalents of isal
_ISAL_BEST = 3


@cache
def _codec() -> tuple[Any, bool]:
    """Return isal's zlib module, or zlib if isal is not installed, and True if it is isal's."""
    try:
        from isal import isal_zlib
    except ImportError:
        import zlib

        return zlib, False
    return isal_zlib, True


class _Workers:
    """The threads shared by all compressors of the process, started on first use."""

    _lock = threading.Lock()
    _executor: Pool | None = None

    @classmethod
    def submit(cls, chunk: bytes, level: int) -> Future[bytes]:
        with cls._lock:
            if cls._executor is None:
                from tarkit.streams.workers import Pool

                cls._executor = Pool(_WORKERS, "deflate")
            executor = cls._executor
        # Outside the lock, because starting a thread may take long.
        try:
            return executor.submit(_deflate, chunk, level)
        except BaseException:
            # A signal may have interrupted the start of a thread that the pool does not know yet.
            executor.shutdown(wait=False)
            with cls._lock:
                if cls._executor is executor:
                    cls._executor = None
            raise

    @classmethod
    def forget(cls) -> None:
        """Drop the pool after a fork, since the child has none of the threads."""
        cls._lock = threading.Lock()
        cls._executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Workers.forget)


def _deflate(chunk: bytes, level: int) -> bytes:
    codec, _ = _codec()
    # -15: raw deflate without a header, with the largest window.
    compressor = codec.compressobj(level, codec.DEFLATED, -15, _MEMORY_LEVEL)
    head: bytes = compressor.compress(chunk)
    tail: bytes = compressor.flush(codec.Z_SYNC_FLUSH)
    return head + tail


class GzipCompressor(ChunkReader):
    """Compresses *stream* to gzip. *level* is zlib's, 0 to 9; isal uses the nearest of its own."""

    def __init__(self, stream: Readable, level: int | None = None) -> None:
        super().__init__(stream)
        codec, is_isal = _codec()
        level = _LEVEL if level is None else level
        best = _ISAL_BEST if level > _LEVEL else 2
        self._level = _ISAL_LEVELS.get(level, best) if is_isal else level
        self._crc32 = codec.crc32
        self._queue: deque[Future[bytes]] = deque()
        self._crc = self._size = 0
        self._state = "head"

    def _chunk(self) -> bytes:
        if self._state == "head":
            self._state = "body"
            return _HEADER
        # Keep the queue full before waiting for its first result, so that all workers are busy.
        while self._state == "body" and len(self._queue) < _IN_FLIGHT:
            chunk = self._full_chunk()
            if not chunk:
                self._state = "tail"
                break
            self._crc = self._crc32(chunk, self._crc)
            self._size += len(chunk)
            if len(chunk) < _CHUNK_SIZE and not self._queue:  # threads would have nothing to share
                return _deflate(chunk, self._level)
            self._queue.append(_Workers.submit(chunk, self._level))
        if self._queue:
            return self._queue.popleft().result()
        if self._state == "tail":
            self._state = "end"
            return _END + _TRAILER.pack(self._crc, self._size & 0xFFFFFFFF)
        return b""

    def _full_chunk(self) -> bytes:
        """Read exactly ``_CHUNK_SIZE`` bytes, fewer only at the end, in any number of reads."""
        chunk = self._stream.read(_CHUNK_SIZE)
        if len(chunk) in (0, _CHUNK_SIZE):
            return chunk
        parts, missing = [chunk], _CHUNK_SIZE - len(chunk)
        while missing and (chunk := self._stream.read(missing)):
            parts.append(chunk)
            missing -= len(chunk)
        return b"".join(parts)


class ZlibDecompressor:
    """zlib's gzip decompressor with the interface of bz2's, for systems without isal."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib.decompressobj(31)  # 16 + 15: gzip with the largest window
        self._filled = False

    @property
    def eof(self) -> bool:
        """True if the member has ended."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """True if the decompressor needs more input to return more output."""
        return not (self._zlib.unconsumed_tail or self._filled or self.eof)

    @property
    def unused_data(self) -> bytes:
        """The input after the end of the member."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Return up to *max_length* bytes of output from remaining input and *data*."""
        output = self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))
        # If the output was cut off, zlib may hold more without needing input.
        self._filled = len(output) == max_length
        return output
