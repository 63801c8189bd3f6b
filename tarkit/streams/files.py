"""Open regular files only, never directories, devices or pipes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import MalformedError, UnsafePathError
from tarkit.streams.chunks import read_bounded
from tarkit.streams.directory import open_flags
from tarkit.streams.os_errors import from_os_error, os_errors


def open_regular(path: Path) -> BinaryIO:
    """Open *path* for unbuffered reading.

    Raises :class:`PathNotFoundError` if *path* does not exist, and :class:`MalformedError` if it
    is not a regular file.
    """
    with os_errors(path):
        # With O_NONBLOCK, opening a pipe does not wait for its writer.
        descriptor = os.open(path, open_flags("O_RDONLY", "O_NONBLOCK", "O_BINARY"))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise MalformedError(f"is {kind_of(mode)}, not a regular file", where=str(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of the small file *path*.

    Raises the errors of :func:`open_regular`, and :class:`LimitExceededError` if the file exceeds
    *limit* bytes.
    """
    with open_regular(path) as file:
        return read_bounded(file, limit, where=str(path))


def read_only(path: Path) -> bool:
    """Return True if the existing file *path* cannot be written, for example on a read-only mount."""
    return path.exists() and not os.access(path, os.W_OK)


FOLLOW_LINKS_HINT = "use --follow-links to follow such links"
"""Hint for links that lead out of a directory, as in layouts made by Bazel's rules."""


def require_inside(path: Path, directory: Path, *, hint: str | None = None) -> None:
    """Raise :class:`UnsafePathError` if *path* leads out of *directory*, or links form a loop."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError("loop of links", where=str(path)) from None
    if not path.resolve().is_relative_to(directory.resolve()):
        message = f"link that leads out of {directory.name!r}"
        raise UnsafePathError(message, where=str(path), hint=hint)


def find_regular(
    path: Path, directory: Path, *, follow_links: bool = False, hint: str | None = None
) -> os.stat_result | None:
    """Return the status of *path*, a regular file in *directory*, or None if it is missing.

    Raises :class:`MalformedError` if it is anything but a regular file, and
    :class:`UnsafePathError` for a loop of links or, unless *follow_links*, for a link out of
    *directory*.
    """
    try:
        status = path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError("loop of links", where=str(path)) from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise from_os_error(error, path) from error
    # After stat(), so that a missing file is not reported as a link out of the directory.
    if not follow_links:
        require_inside(path, directory, hint=hint)
    if not stat.S_ISREG(status.st_mode):  # opening a device or FIFO may block or act on it
        raise MalformedError(f"is {kind_of(status.st_mode)}, not a regular file", where=str(path))
    return status


_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a block device",
}


def kind_of(mode: int) -> str:
    """Return the kind of the file with *mode*, for messages: ``a directory``."""
    return _KINDS.get(stat.S_IFMT(mode), "a file")


def home_directory() -> Path | None:
    """Return the user's home directory, or None if it is unknown, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None
