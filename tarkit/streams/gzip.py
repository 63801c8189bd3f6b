"""gzip with every core: one member (RFC 1952) whose chunks are deflated side by side.

Each chunk is deflated on its own and ends on a byte boundary (a sync flush), so the chunks join
into one deflate stream. Chunk borders depend on the input alone: so do the bytes.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import deque
from concurrent.futures import Future
from functools import cache
from typing import Any

from tarkit.streams.chunks import ChunkReader, Readable
from tarkit.streams.workers import Pool

_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, unknown system
_END = b"\x03\x00"  # an empty final block
_MEMORY_LEVEL = 9
_CHUNK_SIZE = 1 << 20  # part of the format: other borders, other bytes
_WORKERS = min(os.cpu_count() or 1, 8)
_IN_FLIGHT = min(_WORKERS, 4) + 1  # of one stream: four workers deflate as fast as a thread hashes
_LEVEL = 6  # zlib's own default; isal's 2, which packs half as fast again as its 3 and 2 % larger
_ISAL_LEVELS = {0: 0, 1: 1, 2: 1}  # isal has four levels
_ISAL_BEST = 3


@cache
def _codec() -> tuple[Any, bool]:
    """zlib's interface, and whether it is isal's: several times faster, where there is a wheel."""
    try:
        from isal import isal_zlib
    except ImportError:
        import zlib

        return zlib, False
    return isal_zlib, True


class _Workers:
    """Threads shared by all compressors of the process, made when first used."""

    _lock = threading.Lock()
    _executor: Pool | None = None

    @classmethod
    def submit(cls, chunk: bytes, level: int) -> Future[bytes]:
        with cls._lock:
            if cls._executor is None:
                cls._executor = Pool(_WORKERS, "deflate")
            executor = cls._executor
        try:
            return executor.submit(_deflate, chunk, level)
        except BaseException:
            # interrupted while a thread began, perhaps before the pool had heard of it: this ends both
            executor.shutdown(wait=False)
            with cls._lock:
                if cls._executor is executor:
                    cls._executor = None
            raise

    @classmethod
    def forget(cls) -> None:
        """Begin without threads, as a forked child does: those of its parent are not in it."""
        cls._lock = threading.Lock()
        cls._executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Workers.forget)


def _deflate(chunk: bytes, level: int) -> bytes:
    codec, _ = _codec()
    compressor = codec.compressobj(level, codec.DEFLATED, -15, _MEMORY_LEVEL)
    head: bytes = compressor.compress(chunk)
    tail: bytes = compressor.flush(codec.Z_SYNC_FLUSH)
    return head + tail


class GzipCompressor(ChunkReader):
    """*stream* as gzip. *level* is zlib's 0 to 9, or what comes nearest to it."""

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
        while self._state == "body" and len(self._queue) < _IN_FLIGHT:
            chunk = self._full_chunk()
            if not chunk:
                self._state = "tail"
                break
            self._crc = self._crc32(chunk, self._crc)
            self._size += len(chunk)
            self._queue.append(_Workers.submit(chunk, self._level))
        if self._queue:
            return self._queue.popleft().result()
        if self._state == "tail":
            self._state = "end"
            return _END + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)
        return b""

    def _full_chunk(self) -> bytes:
        """Exactly ``_CHUNK_SIZE`` bytes but at the end, however the input comes in."""
        chunk = self._stream.read(_CHUNK_SIZE)
        if len(chunk) in (0, _CHUNK_SIZE):
            return chunk
        parts, missing = [chunk], _CHUNK_SIZE - len(chunk)
        while missing and (chunk := self._stream.read(missing)):
            parts.append(chunk)
            missing -= len(chunk)
        return b"".join(parts)


class ZlibDecompressor:
    """zlib's gzip decompressor with the interface of bz2's, for where isal has no wheel."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib.decompressobj(31)
        self._filled = False

    @property
    def eof(self) -> bool:
        """Whether the member's end was reached."""
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed before there is more output."""
        return not (self._zlib.unconsumed_tail or self._filled or self.eof)

    @property
    def unused_data(self) -> bytes:
        """What came after the member's end."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """Up to *max_length* bytes of output from *data* and what was left over."""
        output = self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))
        self._filled = len(output) == max_length
        return output
