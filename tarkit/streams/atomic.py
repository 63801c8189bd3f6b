"""Files that appear under their name whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from tarkit.errors import (
    PathNotFoundError,
    RefusedError,
)
from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import Directory, temporary_name
from tarkit.streams.os_errors import os_errors
from tarkit.streams.removal import remove_tree
from tarkit.streams.uncached import LEAST, write_at

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FILE_MODE = 0o644

_UNNAMED = "file"


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


class PendingFile(Closeable):
    """A file being written for *directory* that has no name until :meth:`publish` gives it one.

    On Linux it has no name at all, so not even a killed process leaves anything behind; elsewhere,
    and on filesystems without unnamed files, it is in a hidden directory until then. In any case it
    gets its name from such a directory, which nobody else can get into: a temporary name in
    *directory* itself could mean another file by the time it is renamed.
    *read_back* is for files that are read, or written in any order, before that.
    """

    def __init__(self, directory: Directory, *, read_back: bool = False) -> None:
        self._directory = directory
        self._hidden: Directory | None = None
        with os_errors(directory.path):
            descriptor = self._open()
        self.file: BinaryIO = io.BufferedRandom(
            (io.FileIO if read_back else _PassingFile)(descriptor, "w+b")
        )

    def _open(self) -> int:
        if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
            with contextlib.suppress(OSError):
                flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
                return os.open(".", flags, 0o600, dir_fd=self._directory.descriptor)
        try:
            return self._hide().create(_UNNAMED)
        except BaseException:
            self._forget()
            raise

    def _hide(self) -> Directory:
        """Make the hidden directory."""
        self._hidden = self._directory.make(temporary_name(), 0o700)
        return self._hidden

    def publish(self, name: str, *, mode: int | None = None, durable: bool = True) -> None:
        """Write everything to the disk and call it *name*, replacing the file of that name.

        It keeps the mode of that file, or gets 0644, unless *mode* is given. The name is on the disk
        as well unless *durable* is false: then the caller has to sync the directory.
        """
        with os_errors(self._directory.path / name):
            self.file.flush()
            if hasattr(os, "fchmod"):
                mode = mode_at(self._directory, name) if mode is None else mode
                os.fchmod(self.file.fileno(), mode)
            os.fsync(self.file.fileno())
            hidden = self._hidden or self._link(self._hide())
            made = os.fstat(self.file.fileno())
            self.file.close()
            hidden.publish(_UNNAMED, self._directory, name, expected=made, durable=durable)

    def _link(self, hidden: Directory) -> Directory:
        os.link(
            f"/proc/self/fd/{self.file.fileno()}",
            _UNNAMED,
            src_dir_fd=hidden.descriptor,  # linkat() follows the /proc link only when it is given
            dst_dir_fd=hidden.descriptor,
            follow_symlinks=True,
        )
        return hidden

    def _forget(self) -> None:
        if self._hidden is not None:
            with self._hidden as hidden:
                remove_tree(self._directory, hidden.path.name, hidden)

    def close(self) -> None:
        """Close the file and remove it unless it was published."""
        with contextlib.suppress(OSError):  # unpublished data may be lost
            self.file.close()
        self._forget()


def mode_at(directory: Directory, name: str) -> int:
    """Return the mode of a new file *name*: that of the file it replaces, or 0644."""
    status = directory.lookup(name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return FILE_MODE
    return status.st_mode & 0o777


def output_path(path: Path) -> Path:
    """Return the path that a file written to *path* gets, following links.

    Raises :class:`RefusedError` if something other than a file is there: a device must not be
    replaced by one.
    """
    with os_errors(path):
        if path.exists() and not path.is_file():
            raise RefusedError("exists and is not a regular file", where=str(path))
        return Path(os.path.realpath(path))


@dataclass(frozen=True, slots=True)
class Output:
    """The place of a file to be written: a *name* in an open *directory*. *path* is for messages."""

    directory: Directory
    name: str
    path: Path

    @classmethod
    @contextlib.contextmanager
    def at(cls, path: Path) -> Iterator[Self]:
        """Open the place of the output *path* for the block; raises as :func:`output_path` does."""
        target = output_path(path)
        if not target.parent.is_dir():
            raise PathNotFoundError("no such directory", where=str(target.parent))
        with os_errors(target.parent):
            directory = Directory.open(target.parent)
        with directory:
            yield cls(directory, target.name, path)


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write that takes the place of *path* when the block ends without an error.

    *mode* is as for :meth:`PendingFile.publish`. Raises as :func:`output_path` does.
    """
    with Output.at(path) as output, PendingFile(output.directory) as pending:
        with os_errors(output.path):
            yield pending.file
        pending.publish(output.name, mode=mode)


def write_file(directory: Directory, name: str, data: bytes, *, durable: bool = True) -> None:
    """Put *data* at *name* in *directory* at once, as :meth:`PendingFile.publish` does."""
    with PendingFile(directory) as pending:
        with os_errors(directory.path / name):
            pending.file.write(data)
        pending.publish(name, durable=durable)
