"""One process at a time in a directory, without a lock file in it if the system can do without."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tarkit.errors import LockedError
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors

_PATIENCE = 60.0  # seconds; the lock is held only while an index is written


@contextlib.contextmanager
def locked_directory(directory: Directory, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold *directory* for this process; raises :class:`LockedError` after waiting *patience* seconds.

    The lock goes with the process that holds it. If the system has no flock, a file
    ``.tarkit-lock`` stands in for it.
    """
    try:
        import fcntl
    except ImportError:
        with _lock_file(directory, patience):
            yield
        return
    flags = fcntl.LOCK_EX | fcntl.LOCK_NB
    with os_errors(directory.path):
        own = directory.reopen()  # a second lock of this process has to wait as well
    with own:
        with os_errors(directory.path):
            _wait(directory.path, patience, lambda: fcntl.flock(own, flags))
        yield


@contextlib.contextmanager
def locked_name(parent: Directory, name: str, patience: float = _PATIENCE) -> Iterator[None]:
    """As :func:`locked_directory`, with a directory *name* in *parent* that goes when nobody wants it.

    If the system has no flock, it stays, empty. Raises :class:`UnsafePathError` if it is a link.
    """
    with contextlib.ExitStack() as stack:
        held = False
        while not held:
            with contextlib.ExitStack() as attempt, os_errors(parent.path / name):
                directory = attempt.enter_context(parent.ensure(name))
                attempt.enter_context(locked_directory(directory, patience))
                held = parent.holds(name, directory.status())
                if held:  # and not removed by the process that held it before
                    stack.push(attempt.pop_all())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                parent.rmdir(name)


def try_lock(directory: Directory) -> bool:
    """Lock *directory* until it is closed, unless another process holds it or there is no flock."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _lock_file(directory: Directory, patience: float) -> Iterator[None]:
    name = ".tarkit-lock"
    descriptors: list[int] = []
    with os_errors(directory.path / name):
        _wait(directory.path / name, patience, lambda: descriptors.append(directory.create(name)))
    try:
        yield
    finally:
        os.close(descriptors[0])
        with contextlib.suppress(OSError):
            directory.unlink(name)


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
