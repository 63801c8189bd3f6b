"""Walk directories of any depth, whatever other processes do to them: no link is ever followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from tarkit.errors import TransportError
from tarkit.streams.directory import NO_LINK, OPEN
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """An entry at *path* below the top, as the kernel reports it; *name* is relative to *parent*.

    The descriptor *parent* is valid until the next step of the walk.
    """

    path: bytes
    name: bytes
    parent: int
    status: os.stat_result

    @property
    def handle(self) -> bytes:
        """A path for system calls that accept no descriptors; it ends with the entry itself."""
        return b"/proc/self/fd/%d/%s" % (self.parent, self.name)

    def readlink(self) -> bytes:
        """Return the target of the symbolic link."""
        return os.readlink(self.name, dir_fd=self.parent)

    def open(self) -> int:
        """Open the regular file for reading."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self.name, flags, dir_fd=self.parent)


@dataclass(frozen=True, slots=True)
class _Level:
    path: bytes
    identity: tuple[int, int]
    names: list[bytes]


def walk_directory(
    top: int, closed: list[bytes], *, enters: Callable[[Found], bool] | None = None
) -> Iterator[Found]:
    """Yield everything below the open directory *top*, parents first, siblings by name.

    Only directories for which *enters* returns true are entered; by default, those of the same mounted
    filesystem. Directories without permission are not entered, and their paths are added to *closed*. One descriptor is open at a time. Raises :class:`OSError`, and
    :class:`TransportError` if a directory moves meanwhile.
    """
    current = os.open(".", OPEN, dir_fd=top)
    try:
        levels = [_level(b"", current)]
        device = levels[0].identity[0]
        while levels:
            level = levels[-1]
            if not level.names:
                levels.pop()
                if levels:
                    current = _replace(current, b"..")
                    if _identity(current) != levels[-1].identity:
                        raise TransportError("a directory was moved while it was read")
                continue
            name = level.names.pop()
            status = os.stat(name, dir_fd=current, follow_symlinks=False)
            path = level.path + name
            found = Found(path, name, current, status)
            yield found
            if not stat.S_ISDIR(status.st_mode):
                continue
            if not (enters(found) if enters is not None else status.st_dev == device):
                continue
            if not os.access(name, os.R_OK | os.X_OK, dir_fd=current, effective_ids=True):
                closed.append(path)
                continue
            current = _replace(current, name)
            levels.append(_level(path + b"/", current))
    finally:
        os.close(current)


def _replace(current: int, name: bytes) -> int:
    """Open the directory *name* in *current*, and close that."""
    entered = os.open(name, OPEN | NO_LINK, dir_fd=current)
    os.close(current)
    return entered


def _level(path: bytes, directory: int) -> _Level:
    names = sorted(map(os.fsencode, os.listdir(directory)), reverse=True)
    return _Level(path, _identity(directory), names)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
