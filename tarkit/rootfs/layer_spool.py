"""Compressed layers at any offset: read forward at first, copied to a temporary file if needed.

The decoders cannot save their state, so going back means decompressing from the first byte again.
The first time that happens, the whole layer is decompressed to an unnamed temporary file (in
``TMPDIR``), and every later read comes from there. A layer is therefore decompressed at most twice
if its files are read in any order, and once in the order of the layer, without a temporary file.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import BinaryIO

from tarkit.errors import TarkitError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.closeable import Closeable
from tarkit.streams.uncached import write_at
from tarkit.tar.data import FileData
from tarkit.tar.spool import new_spool

SPOOL_LIMIT = 8 << 30
"""Maximum total size of the temporary copies of one image's layers, in bytes."""

MOST_STREAMS = 2
"""Maximum number of layers to decompress at a time; each takes up to 20 MiB of memory."""


class LayerSpools:
    """The temporary copies of one image's layers, and the streams of the layers read forward.

    All copies together take up to *limit* bytes, and each up to half of the free space. Layers that
    do not fit are decompressed again when they are read.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._left = SPOOL_LIMIT if limit is None else limit
        self._reading: list[CompressedLayer] = []  # the least recently used first
        self.lock = threading.RLock()  # shared, because one layer may end the stream of another

    def allow(self) -> int:
        """Return the maximum size of the next copy, in bytes."""
        try:
            return min(self._left, shutil.disk_usage(tempfile.gettempdir()).free // 2)
        except OSError:  # no directory for temporary files
            return 0

    def spend(self, size: int) -> None:
        """Count *size* bytes of a copy."""
        self._left -= size

    def use(self, layer: CompressedLayer) -> None:
        """Note that *layer* reads its stream; stop the least recently used if too many are open."""
        if layer in self._reading:
            self._reading.remove(layer)
        self._reading.append(layer)
        if len(self._reading) > MOST_STREAMS:
            self._reading[0].stop()

    def done(self, layer: CompressedLayer) -> None:
        """Note that *layer* has no stream any more."""
        if layer in self._reading:
            self._reading.remove(layer)


class CompressedLayer(Closeable):
    """The uncompressed bytes of a layer that *reopen* opens; see :class:`tarkit.tar.data.ArchiveData`."""

    random_access = True

    def __init__(self, reopen: Callable[[], BinaryIO], spools: LayerSpools) -> None:
        self._reopen = reopen
        self._spools = spools
        self._stream: BinaryIO | None = None
        self._position = 0
        self._started = False
        self._tried_copy = False
        self._copy: FileData | None = None
        self._file: BinaryIO | None = None
        self._copied = 0
        self._complete = False

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*, empty only after the end."""
        if self._copy is not None and (offset < self._copied or self._complete):
            return self._copy.read_at(offset, max(0, min(size, self._copied - offset)))
        with self._spools.lock:
            return self._read_locked(offset, size)

    def _read_locked(self, offset: int, size: int) -> bytes:
        goes_back = offset < self._position if self._stream else self._started
        if goes_back and not self._tried_copy:
            self._tried_copy = True
            self._make_copy()
            return self.read_at(offset, size)
        if goes_back or self._stream is None:
            self._restart()
        self._spools.use(self)
        while self._position < offset:
            if not self._read(min(offset - self._position, CHUNK_SIZE)):
                return b""
        return self._read(size)

    def _restart(self) -> None:
        self.stop()
        self._stream, self._position, self._started = self._reopen(), 0, True

    def _read(self, size: int) -> bytes:
        assert self._stream is not None
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def _make_copy(self) -> None:
        """Copy the layer to a temporary file as far as it fits; leave the stream at the copy's end."""
        allowed = self._spools.allow()
        self._restart()
        try:
            self._file = new_spool()
        except TarkitError:
            return  # a copy only saves time
        size, data = 0, b""
        while size < allowed and (data := self._read(min(CHUNK_SIZE, allowed - size))):
            try:
                write_at(self._file.fileno(), [data], size)
            except OSError:  # out of space
                break
            size += len(data)
        self._spools.spend(size)
        self._copied, self._complete = size, size < allowed and not data
        self._copy = FileData(self._file, "the temporary copy of a layer")
        if self._complete:
            self.stop()

    def stop(self) -> None:
        """Close the stream."""
        self._spools.done(self)
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Close the stream, and remove the copy."""
        with self._spools.lock:
            self.stop()
            if self._file is not None:
                self._file.close()
