"""Holders: the open stores of all processes, each marked by a locked file.

A lease or hold in the database names its holder. The lock ends with the process in every case, and
works across PID namespaces. So a holder whose file can be locked is dead, and its leases and holds
have ended (docs/adr/0021-holders-are-locked-files.md). On systems without flock, holders never die.
"""

from __future__ import annotations

import os
from pathlib import Path

from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import open_flags
from tarkit.streams.locking import try_lock
from tarkit.streams.os_errors import os_errors

DIRECTORY = "holders"

_FLAGS = open_flags("O_RDWR", "O_NOFOLLOW", "O_CLOEXEC")


class Holder(Closeable):
    """This process's open store; ``id`` is the name of its file in *root*/holders."""

    def __init__(self, root: Path) -> None:
        directory = root / DIRECTORY
        with os_errors(directory):
            directory.mkdir(mode=0o700, exist_ok=True)
            self._path, self._file = _locked(directory)
        self.id = self._path.name

    def close(self) -> None:
        """End the holder, and with it its leases and holds."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def _locked(directory: Path) -> tuple[Path, int]:
    """Create a locked file in *directory*; return its path and descriptor."""
    while True:
        name = os.urandom(8).hex()
        # locked before it gets its name: so if a named file is not locked, its holder is dead
        hidden, path = directory / f".{name}", directory / name
        file = os.open(hidden, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try_lock(file)
            hidden.rename(path)
        except FileNotFoundError:  # sweep() was faster than the lock, so try again
            os.close(file)
        except BaseException:
            os.close(file)
            raise
        else:
            return path, file


def is_alive(root: Path, holder: str) -> bool:
    """Return True if the process of *holder* still has the store open."""
    try:
        file = os.open(root / DIRECTORY / holder, _FLAGS)
    except OSError:
        return False
    try:
        return not try_lock(file)
    finally:
        os.close(file)


def sweep(root: Path) -> None:
    """Remove the files of dead holders."""
    directory = root / DIRECTORY
    for path in directory.iterdir() if directory.is_dir() else ():
        if not is_alive(root, path.name):
            path.unlink(missing_ok=True)
