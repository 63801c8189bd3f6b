"""Files that appear under their name complete or not at all.

Durability is decided here and in :mod:`tarkit.streams.directory`: a published file and the
directory that contains its name are synced. :meth:`PendingFile.publish` syncs the content
before the name appears; :meth:`Directory.publish` then moves it and syncs the directory. A caller
that publishes many files passes ``durable=False`` and calls :meth:`Directory.sync` once at the end.
Only unpacked trees (:mod:`tarkit.rootfs.output.directory`) are not synced.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from tarkit.errors import (
    PathNotFoundError,
    RefusedError,
)
from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import Directory, temporary_name
from tarkit.streams.os_errors import creation_errors, os_errors
from tarkit.streams.removal import remove_tree
from tarkit.streams.uncached import LEAST, write_at
from tarkit.values import dataclass

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

FILE_MODE = 0o644
"""Mode of a new file."""

_UNNAMED = "file"  # the file's name in the hidden directory


class _PassingFile(io.FileIO):
    """A file written once from front to back, past the page cache if possible."""

    def write(self, data: ReadableBuffer, /) -> int:
        # Small writes go through the cache: the rest of their pages usually follows soon.
        view = memoryview(data)
        if len(view) < LEAST:
            return super().write(view)
        position = self.tell()
        write_at(self.fileno(), [view], position)
        # Positioned writes leave the position alone, but later small writes depend on it.
        self.seek(position + len(view))
        return len(view)


class PendingFile(Closeable):
    """A file for *directory* that has no name until :meth:`publish`; a context manager.

    On Linux it is an unnamed file (``O_TMPFILE``), so a killed process leaves nothing behind.
    Elsewhere, and on filesystems without unnamed files, it is in a hidden directory. It moves
    to its name from such a directory, which other users cannot enter. A temporary name in
    *directory* itself could refer to another file by the time of the move.

    Set *read_back* to read the file, or to write it in any order, before it is published.
    """

    def __init__(self, directory: Directory, *, read_back: bool = False) -> None:
        self._directory = directory
        self._hidden: Directory | None = None
        with creation_errors(directory.path):
            descriptor = self._open()
        self.file: BinaryIO = io.BufferedRandom(
            (io.FileIO if read_back else _PassingFile)(descriptor, "w+b")
        )

    def _open(self) -> int:
        if hasattr(os, "O_TMPFILE") and Path("/proc/self/fd").is_dir():
            with contextlib.suppress(OSError):  # the filesystem may not support it
                flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
                return os.open(".", flags, 0o600, dir_fd=self._directory.descriptor)
        try:
            return self._hide().create(_UNNAMED)
        except BaseException:
            self._forget()
            raise

    def _hide(self) -> Directory:
        """Create the hidden directory."""
        self._hidden = self._directory.make(temporary_name(), 0o700)
        return self._hidden

    def publish(
        self, name: str, *, mode: int | None = None, durable: bool = True, sync: bool = True
    ) -> None:
        """Sync the file and move it to *name*, replacing an existing file.

        *mode* defaults to that of the existing file, or 0644. Unless *durable* is true, the caller
        must sync the directory. Unless *sync*, the content may be lost if the power fails.
        """
        with os_errors(self._directory.path / name):
            self.file.flush()
            if hasattr(os, "fchmod"):
                # Look up the old mode as late as possible, since the file may take hours to write.
                mode = mode_at(self._directory, name) if mode is None else mode
                os.fchmod(self.file.fileno(), mode)
            if sync:
                os.fsync(self.file.fileno())
            # A link cannot replace an existing file, but a rename from the hidden directory can.
            hidden = self._hidden or self._link(self._hide())
            made = os.fstat(self.file.fileno())
            self.file.close()
            hidden.publish(_UNNAMED, self._directory, name, expected=made, durable=durable)

    def _link(self, hidden: Directory) -> Directory:
        os.link(
            f"/proc/self/fd/{self.file.fileno()}",
            _UNNAMED,
            src_dir_fd=hidden.descriptor,  # linkat() follows the /proc link only with AT_SYMLINK_FOLLOW
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
    """Return the mode for a new file *name*: the mode of the file that it replaces, or 0644."""
    status = directory.lookup(name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return FILE_MODE
    return status.st_mode & 0o777


def output_path(path: Path) -> Path:
    """Return *path* with links resolved, as the destination of a file.

    Raises :class:`RefusedError` if *path* exists and is not a regular file, since a file must not
    replace a device.
    """
    with os_errors(path):
        if path.exists() and not path.is_file():
            raise RefusedError("exists and is not a regular file", where=str(path))
        return Path(os.path.realpath(path))


@dataclass(frozen=True, slots=True)
class Output:
    """The destination of a file: a *name* in an open *directory*; errors name *path*."""

    directory: Directory
    name: str
    path: Path

    @classmethod
    @contextlib.contextmanager
    def at(cls, path: Path) -> Iterator[Self]:
        """Open the directory of *path* for the block.

        Raises :class:`PathNotFoundError` if the directory is missing, and :class:`RefusedError` if
        *path* exists and is not a regular file.
        """
        target = output_path(path)
        if not target.parent.is_dir():
            raise PathNotFoundError("no such directory", where=str(target.parent))
        with os_errors(target.parent):
            directory = Directory.open(target.parent)
        with directory:
            yield cls(directory, target.name, path)


@contextlib.contextmanager
def atomic_file(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """Yield a file to write, published at *path* when the block ends without an error.

    *mode* defaults to the mode of the existing file, or 0644. Raises the errors of
    :meth:`Output.at`.
    """
    with Output.at(path) as output, PendingFile(output.directory) as pending:
        with os_errors(output.path):
            yield pending.file
        pending.publish(output.name, mode=mode)


def write_file(
    directory: Directory, name: str, data: bytes, *, durable: bool = True, sync: bool = True
) -> None:
    """Write *data* to *name* in *directory* atomically; see :meth:`PendingFile.publish`."""
    with PendingFile(directory) as pending:
        with os_errors(directory.path / name):
            pending.file.write(data)
        pending.publish(name, durable=durable, sync=sync)
