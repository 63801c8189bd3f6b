"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from tarkit.errors import (
    NoSpaceError,
    PathNotFoundError,
    RefusedError,
    TarkitError,
    TransportError,
)
from tarkit.streams.uncached import LEAST, write_at

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FILE_MODE = 0o644


class _PassingFile(io.FileIO):
    """A file written from front to back and left alone then."""

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        if len(view) < LEAST:
            return super().write(view)
        position = self.tell()
        write_at(self.fileno(), [view], position)
        self.seek(position + len(view))
        return len(view)


class PendingFile:
    """A file being written in *directory* that has no name until :meth:`publish` gives it one.

    On Linux it has no name at all, so not even a killed process leaves anything behind; elsewhere,
    and on filesystems without unnamed files, it goes by a hidden temporary name until then.
    *read_back* is for those that are read, or written to in any order, before that.
    """

    def __init__(self, directory: Path, *, read_back: bool = False) -> None:
        self._directory = directory
        self._temporary: Path | None = None
        with os_errors(directory):
            descriptor = self._open()
        self.file: BinaryIO = io.BufferedRandom(
            (io.FileIO if read_back else _PassingFile)(descriptor, "w+b")
        )

    def _open(self) -> int:
        if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
            with contextlib.suppress(OSError):
                return os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._temporary = self._temporary_name()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        return os.open(self._temporary, flags, 0o600)

    def _temporary_name(self) -> Path:
        return self._directory / f".tarkit-{os.urandom(8).hex()}.tmp"

    def publish(self, path: Path, *, mode: int | None = None) -> None:
        """Write everything to the disk and put it at *path*, replacing what is there.

        Its *mode* is that of :func:`mode_at` unless one is given.
        """
        with os_errors(path):
            if mode is None:
                mode = mode_at(path)
            self.file.flush()
            if hasattr(os, "fchmod"):
                os.fchmod(self.file.fileno(), mode)
            os.fsync(self.file.fileno())
            if self._temporary is None:
                self._link(self._temporary_name())
            self.file.close()
            assert self._temporary is not None
            self._temporary.replace(path)
            self._temporary = None

    def _link(self, name: Path) -> None:
        # linkat() follows the /proc link only when called with a directory descriptor
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.link(
                f"/proc/self/fd/{self.file.fileno()}",
                name.name,
                src_dir_fd=directory,
                dst_dir_fd=directory,
                follow_symlinks=True,
            )
        finally:
            os.close(directory)
        self._temporary = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # what could not be flushed is not wanted any more
            self.file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


def mode_at(path: Path) -> int:
    """The mode of a file written to *path*: that of what it replaces, or 0644."""
    return path.stat().st_mode & 0o777 if path.exists() else FILE_MODE


def output_path(path: Path) -> Path:
    """Where a file written to *path* goes: to what links lead to.

    Raises :class:`RefusedError` for what is there and no file: a device must not be replaced by one.
    """
    with os_errors(path):
        if path.exists() and not path.is_file():
            raise RefusedError("exists and is not a regular file", where=str(path))
        return Path(os.path.realpath(path))


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A file to write that takes the place of *path* when the block ends without an error.

    *mode* is as :meth:`PendingFile.publish` has it. Raises as :func:`output_path` does.
    """
    path = output_path(path)
    with PendingFile(path.parent) as pending:
        with os_errors(path):
            yield pending.file
        pending.publish(path, mode=mode)


def sync_directory(directory: Path) -> None:
    """Write the names in *directory* to the disk, where the system knows how."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def os_errors(where: object) -> Iterator[None]:
    """Turn what the operating system says about *where* into tarkit's errors."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, where) from error


def from_os_error(error: OSError, where: object) -> TarkitError:
    """*error* as one of tarkit's, in the system's words.

    :class:`NoSpaceError`, :class:`PathNotFoundError`, or :class:`TransportError` for all else.
    """
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return NoSpaceError(f"no space left to write it ({reason})", where=str(where))
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return PathNotFoundError(reason, where=str(where))
    return TransportError(reason, where=str(where))
