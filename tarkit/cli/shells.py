"""``tarkit build --on-error shell``: a shell in the state before a process failed."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum

from tarkit.cli.messages import note
from tarkit.errors import BuildError, UsageError
from tarkit.gateway.containers import Container, ContainerProcess, StartRequest, WinSize
from tarkit.llb.messages import Meta


class OnError(StrEnum):
    """The actions after a process has failed."""

    SHELL = "shell"


def require_terminal() -> None:
    """Raise :class:`UsageError` unless a person can use a shell."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)):
        raise UsageError("--on-error shell needs a terminal")


def shell_opener(before: Callable[[], None]) -> Callable[[Container, Meta], None]:
    """Return a function that opens a shell in a container; it calls *before* first."""

    def open_shell(container: Container, meta: Meta) -> None:
        before()
        note("a shell in the state before the step failed; its changes are dropped")
        with (
            _raw_terminal(),
            open(0, "rb", buffering=0, closefd=False) as stdin,
            open(1, "wb", buffering=0, closefd=False) as stdout,
        ):
            process = container.start(
                StartRequest(
                    args=shell_of(meta.args), env=meta.env, user=meta.user, cwd=meta.cwd or "/",
                    tty=True, stdin=stdin, stdout=stdout,
                )
            )  # fmt: skip
            with _following_size(process), suppress(BuildError):  # the code of the last command
                process.wait()

    return open_shell


def shell_of(args: Sequence[str]) -> list[str]:
    """Return the shell that the process *args* uses, or else ``/bin/sh``."""
    words = list(args)
    return words[: words.index("-c")] if "-c" in words[1:] else ["/bin/sh"]


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Pass keys to the container as they are pressed."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _following_size(process: ContainerProcess) -> Iterator[None]:
    """Give the terminal in the container the size of that of the user."""

    def resize(*_: object) -> None:
        size = shutil.get_terminal_size()
        process.resize(WinSize(size.lines, size.columns))

    resize()
    before = signal.signal(signal.SIGWINCH, resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
