"""The image file: writes gathered into large ones, and errors of the machine given a type."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from pathlib import Path

from tarkit.errors import NoSpaceError, TransportError, TruncatedError, UnsupportedError
from tarkit.streams.uncached import Buffer, Gathered

_WINDOW = 1024 * 1024
_KERNEL_COPY_FROM = 256 * 1024
_ZEROS = bytes(_WINDOW)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CANNOT = (errno.ENOSYS, errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM)


@contextmanager
def _typed_errors(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        kind = NoSpaceError if error.errno in _FULL else TransportError
        raise kind(reason, where=where) from error


class SourceFile:
    """An open file that contents are copied from, by ranges; the descriptor stays the caller's.

    Small ranges close to each other are read together.
    """

    def __init__(self, fd: int, name: str = "input") -> None:
        self.fd = fd
        self.name = name
        self._window = b""
        self._window_start = 0

    def read(self, offset: int, size: int) -> memoryview:
        """*size* bytes (up to 1 MiB) from *offset*; :class:`TruncatedError` if they are not there."""
        start = offset - self._window_start
        if start < 0 or start + size > len(self._window):
            with _typed_errors(self.name):
                self._window = os.pread(self.fd, _WINDOW, offset)
            self._window_start, start = offset, 0
        if start + size > len(self._window):
            raise TruncatedError(f"ends before byte {offset + size}", where=self.name)
        return memoryview(self._window)[start : start + size]


class ImageFile:
    """A regular file written at any offset; what is never written reads as zeros.

    Consecutive writes are gathered, so the caller may write small pieces. Owns *file*.
    """

    def __init__(self, file: FileIO, name: str) -> None:
        self.name = name
        self._file = file
        self._gathered = Gathered(file.fileno(), partial(_typed_errors, name))
        self._kernel_copies = hasattr(os, "copy_file_range")

    @classmethod
    def open(cls, target: Path | int) -> ImageFile:
        """Open and empty *target*, a path or a descriptor (which is duplicated)."""
        name = str(target) if isinstance(target, Path) else f"descriptor {target}"
        with _typed_errors(name):
            if isinstance(target, Path):
                file = target.open("w+b", buffering=0)
            else:
                file = os.fdopen(os.dup(target), "r+b", buffering=0)
            image = cls(file, name)
            try:
                image._empty()
            except BaseException:
                image.close()
                raise
        return image

    def _empty(self) -> None:
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            raise UnsupportedError("not a regular file", where=self.name)
        self._file.truncate(0)

    def close(self) -> None:
        """Close the file; what is still gathered is dropped."""
        self._file.close()

    def write(self, offset: int, data: Buffer) -> None:
        """Write *data* at *offset*; the buffer may be reused as soon as this returns."""
        self._gathered.write(offset, data)

    def write_zeros(self, offset: int, count: int) -> None:
        """Write *count* zero bytes at *offset*."""
        while count > 0:
            part = min(count, _WINDOW)
            self._gathered.write(offset, _ZEROS if part == _WINDOW else bytes(part))
            offset, count = offset + part, count - part

    def copy(self, offset: int, source: SourceFile, source_offset: int, count: int) -> None:
        """Write *count* bytes of *source* at *offset*, inside the kernel if there are many."""
        if count >= _KERNEL_COPY_FROM:
            done = self._kernel_copy(offset, source, source_offset, count)
            offset, source_offset, count = offset + done, source_offset + done, count - done
        for done in range(0, count, _WINDOW):
            part = min(_WINDOW, count - done)
            self.write(offset + done, source.read(source_offset + done, part))

    def _kernel_copy(self, offset: int, source: SourceFile, source_offset: int, count: int) -> int:
        """Copy what the kernel is willing to copy; returns how many bytes that was."""
        if not self._kernel_copies:
            return 0
        self._gathered.flush()
        done = 0
        with _typed_errors(self.name):
            while done < count:
                try:
                    copied = os.copy_file_range(
                        source.fd,
                        self._file.fileno(),
                        count - done,
                        source_offset + done,
                        offset + done,
                    )
                except OSError as error:
                    if error.errno not in _CANNOT:
                        raise
                    self._kernel_copies = False
                    break
                if not copied:
                    break
                done += copied
        return done

    def reserve(self, size: int) -> None:
        """Have the machine set *size* bytes aside now; not every system can."""
        if not hasattr(os, "posix_fallocate"):
            raise UnsupportedError("this system sets no space aside", where=self.name)
        with _typed_errors(self.name):
            os.posix_fallocate(self._file.fileno(), 0, size)

    def finish(self, size: int) -> None:
        """Write what is gathered and give the file *size* bytes."""
        self._gathered.flush()
        with _typed_errors(self.name):
            self._file.truncate(size)
