"""One process at a time in a directory, without leaving a lock file in it where that can be had."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tarkit.errors import LockedError, PathNotFoundError, RefusedError
from tarkit.streams.atomic import os_errors

_PATIENCE = 60.0  # seconds; the lock is held only while an index is written


@contextlib.contextmanager
def locked_directory(directory: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold *directory* for this process; raises :class:`LockedError` after *patience* seconds' wait.

    Raises :class:`PathNotFoundError` too where it went away meanwhile. The lock goes with the
    process that holds it. Where the system has no flock, a file ``.tarkit-lock`` stands in for it.
    """
    try:
        import fcntl
    except ImportError:
        with _lock_file(directory / ".tarkit-lock", patience):
            yield
        return
    with os_errors(directory):
        descriptor = os.open(directory, os.O_RDONLY)
    try:
        with os_errors(directory):
            flags = fcntl.LOCK_EX | fcntl.LOCK_NB
            _wait(directory, patience, lambda: fcntl.flock(descriptor, flags))
            if not os.path.samestat(os.fstat(descriptor), directory.stat()):
                raise FileNotFoundError(errno.ENOENT, "another has taken its place")
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked_name(path: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """As :func:`locked_directory`, with a directory at *path* that goes when nobody wants it any more.

    Where the system has no flock it stays, empty.
    """
    with contextlib.ExitStack() as stack:
        held = False
        while not held:
            with os_errors(path):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
            if path.is_symlink():
                raise RefusedError("a link, where a lock is to be", where=str(path))
            with contextlib.suppress(PathNotFoundError):  # who held it before has removed it
                stack.enter_context(locked_directory(path, patience))
                held = True
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def _lock_file(path: Path, patience: float) -> Iterator[None]:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    descriptors: list[int] = []
    with os_errors(path):
        _wait(path, patience, lambda: descriptors.append(os.open(path, flags)))
    try:
        yield
    finally:
        os.close(descriptors[0])
        path.unlink(missing_ok=True)


def _wait(path: Path, patience: float, acquire: Callable[[], object]) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            acquire()
        except (BlockingIOError, FileExistsError, PermissionError):
            if time.monotonic() > deadline:
                raise LockedError("another process holds the lock", where=str(path)) from None
            time.sleep(0.01)
        else:
            return
