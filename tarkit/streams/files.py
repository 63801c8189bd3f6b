"""Opening of regular files only, never directories, devices or pipes."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import MalformedError, UnsafePathError
from tarkit.streams.chunks import read_bounded
from tarkit.streams.directory import open_flags
from tarkit.streams.os_errors import os_errors


def open_regular(path: Path) -> BinaryIO:
    """Open *path* for unbuffered reading.

    Raises :class:`PathNotFoundError`, and :class:`MalformedError` if it is not a regular file.
    """
    with os_errors(path):
        # O_NONBLOCK: opening a pipe does not wait for its writer
        descriptor = os.open(path, open_flags("O_RDONLY", "O_NONBLOCK", "O_BINARY"))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MalformedError("not a regular file", where=str(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of *path*, a small file.

    Raises as :func:`open_regular`, and :class:`LimitExceededError` if it exceeds *limit* bytes.
    """
    with open_regular(path) as file:
        return read_bounded(file, limit, where=str(path))


def read_only(path: Path) -> bool:
    """Return whether the existing file *path* cannot be written, for example on a read-only mount."""
    return path.exists() and not os.access(path, os.W_OK)


FOLLOW_LINKS_HINT = "use --follow-links to follow such links"
"""Hint for links that lead out of a directory, as in layouts made by Bazel's rules."""


def require_inside(path: Path, directory: Path, *, hint: str | None = None) -> None:
    """Raise :class:`UnsafePathError` if links lead from *path* out of *directory*, or form a loop."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError("loop of links", where=str(path)) from None
    if not path.resolve().is_relative_to(directory.resolve()):
        message = f"link that leads out of {directory.name!r}"
        raise UnsafePathError(message, where=str(path), hint=hint)


def home_directory() -> Path | None:
    """Return the home directory of the user, or None if there is none, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None
