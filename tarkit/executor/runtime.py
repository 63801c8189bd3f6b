"""OCI runtimes: finding one that works here, and calling it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tarkit.errors import UnsupportedError
from tarkit.values import dataclass

_RUNTIMES = ("runc", "crun")
_HINT = "install runc or crun"
_PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """The OCI runtime ``program``, whose containers are listed in the directory ``state``.

    ``enter`` are the first arguments of a command that enters the namespaces of a user without root.
    """

    program: str
    state: Path
    enter: tuple[str, ...] = ()

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of the runtime."""
        return [*self.enter, self.program, "--root", str(self.state), *arguments]

    def call(self, *arguments: str) -> bool:
        """Call the runtime for an action without output; return True if it succeeds."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def find_programs(names: Sequence[str] = _RUNTIMES) -> list[str]:
    """Return the paths of the installed runtimes, the preferred one first."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin"
    return [found for name in names if (found := shutil.which(name, path=path))]


def require_program(programs: Sequence[str]) -> str:
    """Return the first of *programs*; raise :class:`UnsupportedError` if there is none."""
    if not programs:
        raise UnsupportedError("processes need an OCI runtime", hint=_HINT)
    return programs[0]
