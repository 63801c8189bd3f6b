"""Private directories in memory for running containers, which outlive no process.

``NAME`` is locked while its container runs. A process that is killed leaves it unlocked: then the
next one ends the container and removes the directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tarkit.errors import RefusedError, TarkitError, UnsafePathError
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory, try_lock
from tarkit.streams.os_errors import os_errors
from tarkit.streams.removal import remove_tree

_MEMORY = ("/dev/shm", "/run/shm")


class Workspaces:
    """The directories for the containers of this user, below one that stays."""

    def __init__(self) -> None:
        self.path = _memory() / f"tarkit-{os.geteuid()}"

    def _open(self) -> Directory:
        """Open the directory around all; raises UnsafePathError if another user may write to it."""
        with os_errors(self.path):
            with suppress(FileExistsError):
                self.path.mkdir(mode=0o700)
            directory = Directory.open(self.path)
            status = os.fstat(directory.fileno())
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077:
                directory.close()
                raise UnsafePathError("belongs to another user", where=str(self.path))
            return directory

    @contextmanager
    def new(self, end: Callable[[str], object]) -> Iterator[Path]:
        """Create a directory for the block; *end* first ends the containers of killed processes."""
        name = f"tarkit-{os.urandom(8).hex()}"
        with self._open() as parent:
            with os_errors(self.path), locked_directory(parent):
                _sweep(parent, end)
                made = parent.make(name, 0o700)
                try_lock(made)  # before another process can look for directories without a lock
            with made:
                try:
                    yield self.path / name
                finally:
                    remove_tree(parent, name, made)

    def sweep(self, end: Callable[[str], object]) -> None:
        """End the containers of killed processes, and remove their directories."""
        if self.path.is_dir():
            with self._open() as parent, os_errors(self.path), locked_directory(parent):
                _sweep(parent, end)


def _sweep(parent: Directory, end: Callable[[str], object]) -> None:
    for name in parent.names():
        with suppress(OSError, RefusedError, TarkitError), parent.open_directory(name) as left:
            if name.startswith("tarkit-") and try_lock(left):
                end(name)
                remove_tree(parent, name, left)


def _memory() -> Path:
    """Return a directory in memory in which this user can create files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for text in (*_MEMORY, runtime):
        if text and os.access(text, os.W_OK | os.X_OK):
            return Path(text)
    raise RefusedError("no filesystem in memory for secrets", hint="mount a tmpfs on /dev/shm")
