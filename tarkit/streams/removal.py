"""Remove directory trees of any depth, with any modes and links."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tarkit.streams.directory import NO_LINK, OPEN, Directory, open_flags
from tarkit.values import dataclass

_HANDLE = open_flags("O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_ALL = 0o700  # permissions needed to empty a directory


def remove_tree(parent: Directory, name: str, directory: Directory) -> None:
    """Empty the open *directory*, and remove it from *parent* if it still has this *name* there.

    Entries that the system refuses to remove stay; no error is raised.

    It uses no recursion, no growing paths and one descriptor at a time, since an image may nest
    deeper than ``shutil.rmtree`` and ``PATH_MAX`` allow. Links are removed but never followed, even
    if they replace directories concurrently. Other mounted filesystems are left alone.
    """
    if directory.descriptor is None:
        # Windows: rmtree has its own protection against links.
        shutil.rmtree(directory.path, ignore_errors=True)
        return
    with suppress(OSError):
        _allow(directory.descriptor)
        _empty(directory.descriptor)
        # Another process may have put something else under this name.
        if parent.holds(name, directory.status()):
            parent.rmdir(name)


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory on the current path: its name, its identity and its remaining subdirectories."""

    name: bytes
    identity: tuple[int, int]
    directories: list[bytes]


def _empty(top: int) -> None:
    """Remove everything in *top*, depth first; descend by name and ascend by ``..``."""
    current = os.dup(top)
    try:
        levels = [_level(b"", current)]
        while True:
            level = levels[-1]
            if level.directories:
                name = level.directories.pop()
                child = _enter(name, current, levels[0])
                # Otherwise skip it; removing its parent then fails, which is suppressed.
                if child is not None:
                    os.close(current)
                    current = child
                    levels.append(_level(name, current))
            elif level is levels[0]:
                return
            else:
                levels.pop()
                above = os.open("..", OPEN, dir_fd=current)
                os.close(current)
                current = above
                if _identity(current) != levels[-1].identity:
                    return  # the directory was moved, so ".." is another directory
                with suppress(OSError):
                    os.rmdir(level.name, dir_fd=current)
    finally:
        os.close(current)


def _level(name: bytes, directory: int) -> _Level:
    """Remove all entries of *directory* except subdirectories."""
    directories = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(os.fsencode(entry.name))
            else:
                with suppress(OSError):
                    os.unlink(entry.name, dir_fd=directory)
    return _Level(name, _identity(directory), directories)


def _enter(name: bytes, parent: int, top: _Level) -> int | None:
    """Open the directory *name* unless that fails or it is on another filesystem than *top*."""
    with suppress(OSError), _opened(name, parent) as child:
        if _identity(child)[0] == top.identity[0]:
            return os.dup(child)
    return None


@contextmanager
def _opened(name: bytes, parent: int) -> Iterator[int]:
    """Open the directory *name* with the permissions needed to empty it."""
    try:
        descriptor = os.open(name, OPEN | NO_LINK, dir_fd=parent)
    except PermissionError:
        _unlock(name, parent)
        descriptor = os.open(name, OPEN | NO_LINK, dir_fd=parent)
    try:
        _allow(descriptor)
        yield descriptor
    finally:
        os.close(descriptor)


def _allow(descriptor: int) -> None:
    """Grant this user all permissions on an open directory."""
    if os.fstat(descriptor).st_mode & _ALL != _ALL:
        with suppress(OSError):
            os.fchmod(descriptor, _ALL)


def _unlock(name: bytes, parent: int) -> None:
    """Grant this user all permissions on the directory *name*, which could not be opened."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, _ALL, dir_fd=parent, follow_symlinks=False)
        return
    # O_PATH needs no permission on the directory itself, and /proc leads to the same inode.
    handle = os.open(name, _HANDLE, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(_ALL)
    finally:
        os.close(handle)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
