"""Locks on directories between processes, without lock files if the system supports flock."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import LockedError
from tarkit.streams.cancellation import check
from tarkit.streams.directory import Directory, open_flags
from tarkit.streams.os_errors import os_errors

_OPEN_LOCKED = open_flags("O_RDWR", "O_CREAT", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
_PAUSE = 0.02  # seconds between attempts
_TIMEOUT = 60.0  # seconds; the lock is held only while an index is written


@contextlib.contextmanager
def locked_directory(directory: Directory, timeout: float = _TIMEOUT) -> Iterator[None]:
    """Lock *directory* for the block; raise :class:`LockedError` after *timeout* seconds.

    The lock ends with the process that holds it. On systems without flock, a file ``.tarkit-lock``
    in the directory takes its place, and stays if the process is killed.
    """
    try:
        import fcntl
    except ImportError:
        with _lock_file(directory, timeout):
            yield
        return
    flags = fcntl.LOCK_EX | fcntl.LOCK_NB
    with os_errors(directory.path):
        own = directory.reopen()  # so that locks of one process exclude each other too
    with own:
        with os_errors(directory.path):
            _wait(directory.path, timeout, lambda: fcntl.flock(own, flags))
        yield


@contextlib.contextmanager
def locked_name(parent: Directory, name: str, timeout: float = _TIMEOUT) -> Iterator[None]:
    """Lock the directory *name* in *parent* for the block; create it first and remove it last.

    On systems without flock, the empty directory stays. Raises :class:`UnsafePathError` if *name*
    is a link, and the errors of :func:`locked_directory`.
    """
    with contextlib.ExitStack() as stack:
        held = False
        while not held:
            with contextlib.ExitStack() as attempt, os_errors(parent.path / name):
                directory = attempt.enter_context(parent.ensure(name))
                attempt.enter_context(locked_directory(directory, timeout))
                # The lock is on an inode. It counts only if the name still refers to it.
                held = parent.holds(name, directory.status())
                if held:  # if not, the previous holder has removed it, so try again
                    stack.push(attempt.pop_all())
        try:
            yield
        finally:
            # Remove it under the lock, so that a waiting process notices and tries again.
            with contextlib.suppress(OSError):  # without flock, it still holds the lock file
                parent.rmdir(name)


def try_lock(file: Directory | int) -> bool:
    """Lock *file* until it is closed; return False if it is locked or flock is missing."""
    return _flock(file, shared=False)


def share_lock(file: Directory) -> bool:
    """Lock *file* until it is closed, as others may, too; return False if :func:`try_lock` did."""
    return _flock(file, shared=True)


def _flock(file: Directory | int, *, shared: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def locked_file(path: Path, patience: float = math.inf) -> BinaryIO:
    """Open the file at *path* for reading and writing, unbuffered, and lock it until it is closed.

    It is created if it is missing. Waits until it is free, or until the operation is cancelled;
    raises :class:`LockedError` after *patience* seconds. Without flock it is not locked.
    """
    deadline = time.monotonic() + patience
    while True:
        descriptor = os.open(path, _OPEN_LOCKED, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            while not _try_lock_file(file):
                check()
                if time.monotonic() >= deadline:
                    raise LockedError("another process is writing it", where=str(path))
                time.sleep(_PAUSE)
            if still_names(path, file):
                return file
        except BaseException:
            file.close()
            raise
        file.close()  # the previous holder has moved or removed it, so try again


def is_locked(path: Path) -> bool:
    """Return True if a process has locked the file at *path*; False without flock."""
    with path.open("rb", buffering=0) as file:
        return not _try_lock_file(file)


def still_names(path: Path, file: BinaryIO) -> bool:
    """Return True if *path* is still the name of the open *file*."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _try_lock_file(file: BinaryIO) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _lock_file(directory: Directory, timeout: float) -> Iterator[None]:
    name = ".tarkit-lock"
    descriptors: list[int] = []
    with os_errors(directory.path / name):
        _wait(directory.path / name, timeout, lambda: descriptors.append(directory.create(name)))
    try:
        yield
    finally:
        os.close(descriptors[0])
        with contextlib.suppress(OSError):
            directory.unlink(name)


def _wait(path: Path, timeout: float, acquire: Callable[[], object]) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            acquire()
        # Windows raises PermissionError for a file that is just being deleted.
        except (BlockingIOError, FileExistsError, PermissionError):
            if time.monotonic() > deadline:
                raise LockedError("another process holds the lock", where=str(path)) from None
            time.sleep(0.01)
        else:
            return
