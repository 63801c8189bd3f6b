"""A directory for what is not finished, which goes away on every way out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tarkit.streams.atomic import os_errors
from tarkit.streams.locking import locked_directory
from tarkit.streams.removal import remove_tree

_OURS = ".tarkit-"
_PREFIX = f"{_OURS}staging-"


@contextlib.contextmanager
def staging_directory(parent: Path) -> Iterator[Path]:
    """A new directory in *parent*, removed at the end of the block unless it was renamed away.

    A killed process cannot remove its own: whoever stages next in the same place does. A lock held
    for the life of the process tells the dead from the living.
    """
    path = parent / (_PREFIX + os.urandom(8).hex())
    with locked_directory(parent):
        _sweep(parent)
        with os_errors(parent):
            path.mkdir(mode=0o755)
            path.chmod(0o755)
        lock = _try_lock(path)
    try:
        yield path
    finally:
        try:
            remove_tree(path)
        except (KeyboardInterrupt, SystemExit):  # a signal, which wants it gone just as well
            remove_tree(path)
            raise
        finally:
            if lock is not None:
                os.close(lock)


def is_staging(path: Path) -> bool:
    """Whether *path* has the name of such a directory, this process's or another's."""
    return path.name.startswith(_PREFIX)


def is_vacant(path: Path) -> bool:
    """Whether *path* is a directory that holds nothing, but perhaps what is or was being staged in it."""
    return path.is_dir() and all(entry.name.startswith(_OURS) for entry in path.iterdir())


def _sweep(parent: Path) -> None:
    """Remove what this user's killed processes left; the names alone say nothing, anybody can give them."""
    for left in parent.glob(_PREFIX + "*"):
        lock = _try_lock(left)
        if lock is not None:
            if os.fstat(lock).st_uid == os.geteuid():
                remove_tree(left)
            os.close(lock)


def _try_lock(path: Path) -> int | None:
    """A descriptor that holds the directory *path* for this process.

    ``None`` where another holds it, where it is a link or no directory, or without flock.
    """
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor >= 0:
            os.close(descriptor)
        return None
    return descriptor
