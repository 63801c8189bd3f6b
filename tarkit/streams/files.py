"""Files that are opened only where they are files: no directory, no device, no pipe to wait on."""

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
    """*path*, unbuffered, for reading.

    Raises :class:`PathNotFoundError`, and :class:`MalformedError` for what is not a regular file.
    """
    with os_errors(path):
        descriptor = os.open(path, open_flags("O_RDONLY", "O_NONBLOCK", "O_BINARY"))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MalformedError("not a regular file", where=str(path))
    return os.fdopen(descriptor, "rb", buffering=0)


def read_file(path: Path, limit: int) -> bytes:
    """All of *path*, a small regular file; raises :class:`LimitExceededError` beyond *limit* bytes."""
    with open_regular(path) as file:
        return read_bounded(file, limit, where=str(path))


FOLLOW_LINKS_HINT = "--follow-links reads what such links lead to"
"""What to do about links out of a directory that is read: Bazel's rules make layouts of them."""


def require_inside(path: Path, directory: Path, *, hint: str | None = None) -> None:
    """Raise :class:`UnsafePathError`, with *hint*, if links lead from *path* out of *directory*, or in a circle."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnsafePathError("links in a circle", where=str(path)) from None
    if not path.resolve().is_relative_to(directory.resolve()):
        message = f"a link that leads out of {directory.name!r}"
        raise UnsafePathError(message, where=str(path), hint=hint)


def home_directory() -> Path | None:
    """The user's home directory; ``None`` for a user who has none, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None
