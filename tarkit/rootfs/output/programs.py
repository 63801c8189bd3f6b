"""Find and run external programs, pipe data to them, and report their errors."""

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
from tarkit.streams.threads import start_thread


def find_program(program: str, package: str) -> str:
    """Return the path of *program*.

    Raises :class:`UnsupportedError` with a hint to install *package* if it is not found.
    """
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise UnsupportedError(f"{program} is not installed", hint=f"install {package}")
    return found


@contextmanager
def piped(chunks: Iterable[bytes | memoryview]) -> Iterator[int]:
    """Write *chunks* to a pipe in a thread; yield the descriptor to read from."""
    reading, writing = os.pipe()
    failures: list[BaseException] = []

    def feed() -> None:
        try:
            with open(writing, "wb", buffering=0) as pipe:  # noqa: PTH123  a descriptor
                for chunk in chunks:
                    write_all(pipe, chunk)
        except BrokenPipeError:
            pass  # the program exited early; its exit code and output show the reason
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
    """Run *command* and return its output; *time* sets ``SOURCE_DATE_EPOCH``.

    The command may write to *directory* through :attr:`Directory.reference`. Raises
    :class:`NoSpaceError` or :class:`TransportError` with the program's message if it fails.
    """
    environment = {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"}
    environment["LC_ALL"] = "C"  # the output is searched for strerror(ENOSPC)
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
