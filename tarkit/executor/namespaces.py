"""Namespaces that a child process keeps alive; it ends when this process does, however that ends."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tarkit.errors import UnsupportedError
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The namespaces in which a runtime is started: ``enter`` is the start of its command line.

    ``root`` is the root filesystem as the runtime sees it.
    """

    root: Path
    enter: tuple[str, ...] = ()


@contextmanager
def surroundings(root: Path) -> Iterator[Surroundings]:
    """Create the namespaces that a user other than root needs to run a container on *root*.

    A mount in the namespaces of a process, below ``/proc/PID/root``, is used from there. Raises
    :class:`UnsupportedError` if the system refuses user namespaces.
    """
    if os.geteuid() == 0:
        yield Surroundings(root)
        return
    parts = root.parts
    if parts[1:2] == ("proc",) and parts[3:4] == ("root",):
        yield Surroundings(Path("/", *parts[4:]), _entering(int(parts[2]), "--mount"))
        return
    with _held("unshare", "--user", "--map-root-user") as holder:
        if holder is None:
            raise UnsupportedError(missing_namespaces())
        yield Surroundings(root, _entering(holder))


@contextmanager
def network_namespace(enter: Sequence[str]) -> Iterator[int]:
    """Create a network namespace for the block; yield the ID of a process in it."""
    with _held(*enter, "unshare", "--net") as holder:
        if holder is None:
            raise UnsupportedError("the system refuses network namespaces")
        yield holder


def missing_namespaces() -> str:
    """Return the reason why this user cannot run containers, or an empty text."""
    if os.geteuid() == 0:
        return ""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "processes without root need unshare and nsenter, from the package util-linux"
    with _held("unshare", "--user", "--map-root-user") as holder:
        if holder is None:
            return "the system refuses user namespaces to users other than root"
    return ""


def _entering(process: int, *others: str) -> tuple[str, ...]:
    return ("nsenter", f"--target={process}", "--user", "--preserve-credentials", *others, "--")


@contextmanager
def _held(*command: str) -> Iterator[int | None]:
    """Run *command* until the block ends; yield its process ID, None if it fails."""
    # the shell prints its ID when the namespaces exist, then waits for the end of its input
    with subprocess.Popen(
        [*command, "sh", "-c", "echo $$; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            yield holder.pid if holder.stdout.readline() else None
        finally:
            holder.stdin.close()
