"""Find and run programs of this machine, feed them data, and report their errors."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from tarkit.errors import NoSpaceError, TransportError, UnsupportedError
from tarkit.streams.chunks import write_all
from tarkit.streams.directory import Directory
from tarkit.streams.workers import start_thread


def find_program(program: str, package: str) -> str:
    """Return the path of *program*; raise :class:`UnsupportedError` naming its *package* if not found."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise UnsupportedError(f"{program} is not installed", hint=f"install {package}")
    return found


@contextmanager
def piped(chunks: Iterable[bytes | memoryview]) -> Iterator[int]:
    """Yield the descriptor of a pipe that a thread writes *chunks* to."""
    reading, writing = os.pipe()
    failures: list[BaseException] = []

    def feed() -> None:
        try:
            with open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123  a descriptor
                for chunk in chunks:
                    write_all(pipe, chunk)
        except BrokenPipeError:
            pass  # the program ended early; its exit code and messages tell why
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            failures.append(error)

    try:
        thread = start_thread(feed, "feed")
    except BaseException:
        os.close(reading)
        os.close(writing)
        raise
    try:
        yield reading
    finally:
        os.close(reading)
        thread.join()
        if failures:  # takes precedence over the program's error, which it caused
            raise failures[0]


def run_program(
    command: Sequence[str],
    stdin: int = subprocess.DEVNULL,
    *,
    directory: Directory | None = None,
    time: int | None = None,
) -> str:
    """Run *command* with *stdin*, and *time* as ``SOURCE_DATE_EPOCH``; return its output.

    The command may write to *directory* through :attr:`Directory.reference`. Raises
    :class:`NoSpaceError` or :class:`TransportError` with the program's message if it fails.
    """
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    environment["LC_ALL"] = "C"  # the message is searched for strerror(ENOSPC)
    if time is not None:
        environment["SOURCE_DATE_EPOCH"] = str(time)
    result = subprocess.run(
        command,
        pass_fds=[directory.fileno()] if directory else [],  # reference is /proc/self/fd/N
        stdin=stdin,
        capture_output=True,
        env=environment,
        text=True,
        errors="replace",
        check=False,
    )
    output = result.stdout + result.stderr
    if result.returncode:
        lines = [line for line in (result.stderr or output).splitlines() if line.strip()]
        reason = "; ".join(lines[-2:]) or f"exit code {result.returncode}"
        kind = NoSpaceError if os.strerror(errno.ENOSPC) in output else TransportError
        raise kind(reason, where=command[0])
    return output
