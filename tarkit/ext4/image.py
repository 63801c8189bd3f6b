"""The image file: buffers writes and translates errors of the operating system."""

from __future__ import annotations

import os
import stat
from functools import partial
from io import FileIO
from pathlib import Path

from tarkit.errors import UnsupportedError
from tarkit.streams.direct import DirectWriter
from tarkit.streams.os_errors import os_errors
from tarkit.streams.uncached import Buffer

_ZEROS = bytes(1024 * 1024)


class ImageFile:
    """A regular file that is written at any offset; bytes never written read as zeros.

    Consecutive writes are buffered, so small writes are cheap. Owns *file*.
    """

    def __init__(self, file: FileIO, name: str) -> None:
        self.name = name
        self._file = file
        self._writer = DirectWriter(file.fileno(), partial(os_errors, name))

    @classmethod
    def open(cls, target: Path | int) -> ImageFile:
        """Open and truncate *target*, a path or a descriptor (which is duplicated)."""
        name = str(target) if isinstance(target, Path) else f"descriptor {target}"
        with os_errors(name):
            if isinstance(target, Path):
                file = target.open("w+b", buffering=0)
            else:
                file = os.fdopen(os.dup(target), "r+b", buffering=0)
            try:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise UnsupportedError("not a regular file", where=name)
                file.truncate(0)
                return cls(file, name)
            except BaseException:
                file.close()
                raise

    def close(self) -> None:
        """Close the file and discard buffered data."""
        self._writer.close()
        self._file.close()

    def write(self, offset: int, data: Buffer) -> None:
        """Write *data* at *offset*; the buffer may be reused as soon as this returns."""
        self._writer.write(offset, data)

    def write_zeros(self, offset: int, count: int) -> None:
        """Write *count* zero bytes at *offset*."""
        while count > 0:
            zeros = _ZEROS[:count]
            self._writer.write(offset, zeros)
            offset, count = offset + len(zeros), count - len(zeros)

    def reserve(self, size: int) -> None:
        """Allocate *size* bytes on disk; raise :class:`UnsupportedError` if the system cannot."""
        if not hasattr(os, "posix_fallocate"):
            raise UnsupportedError("this system cannot allocate space for files", where=self.name)
        with os_errors(self.name):
            os.posix_fallocate(self._file.fileno(), 0, size)

    def flush(self) -> None:
        """Write buffered data."""
        self._writer.flush()

    def set_size(self, size: int) -> None:
        """Write buffered data and set the size of the file to *size* bytes."""
        self.flush()
        with os_errors(self.name):
            self._file.truncate(size)
