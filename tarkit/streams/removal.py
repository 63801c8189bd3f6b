"""Directories removed with all their contents, whatever their depth, their modes and their links."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tarkit.streams.directory import NO_LINK, OPEN, Directory, open_flags

_HANDLE = open_flags("O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC")
_ALL = 0o700  # the rights that emptying a directory takes


def remove_tree(parent: Directory, name: str, directory: Directory) -> None:
    """Empty the open *directory*, and remove it from *parent*, unless *name* means another by now.

    Whatever the system refuses to remove stays, and nothing is raised.

    There is no recursion, no path that grows and one descriptor at a time: an image may nest deeper
    than ``shutil.rmtree`` can follow and than ``PATH_MAX`` allows. Links are removed, never followed,
    even if somebody puts them in the place of directories meanwhile. Other filesystems stay.
    """
    if directory.descriptor is None:
        shutil.rmtree(directory.path, ignore_errors=True)
        return
    with suppress(OSError):
        _allow(directory.descriptor)
        _empty(directory.descriptor)
        if parent.holds(name, directory.status()):
            parent.rmdir(name)


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory on the way down: its name, its inode, and the directories left in it."""

    name: bytes
    identity: tuple[int, int]
    directories: list[bytes]


def _empty(top: int) -> None:
    current = os.dup(top)
    try:
        levels = [_level(b"", current)]
        while True:
            level = levels[-1]
            if level.directories:
                name = level.directories.pop()
                child = _enter(name, current, levels[0])
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
                    return  # somebody has moved the directory: this is another place
                with suppress(OSError):
                    os.rmdir(level.name, dir_fd=current)
    finally:
        os.close(current)


def _level(name: bytes, directory: int) -> _Level:
    """Remove everything from *directory* that is no directory itself."""
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
    """Open the directory *name* unless it cannot be opened or is on another filesystem than *top*."""
    with suppress(OSError), _opened(name, parent) as child:
        if _identity(child)[0] == top.identity[0]:
            return os.dup(child)
    return None


@contextmanager
def _opened(name: bytes, parent: int) -> Iterator[int]:
    """The directory *name*, open, with the rights that emptying it takes."""
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
    """Allow this user everything in an open directory."""
    if os.fstat(descriptor).st_mode & _ALL != _ALL:
        with suppress(OSError):
            os.fchmod(descriptor, _ALL)


def _unlock(name: bytes, parent: int) -> None:
    """Allow this user everything in the directory *name*, which cannot even be opened."""
    if not hasattr(os, "O_PATH"):
        os.chmod(name, _ALL, dir_fd=parent, follow_symlinks=False)
        return
    handle = os.open(name, _HANDLE, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{handle}").chmod(_ALL)
    finally:
        os.close(handle)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
