"""The application: its commands, and what becomes of errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from time import monotonic
from types import FrameType
from typing import Annotated, TextIO

import typer

from tarkit import __version__
from tarkit.cli.common import note
from tarkit.errors import (
    AuthenticationError,
    NotFoundError,
    RefusedError,
    TarkitError,
    UsageError,
    VerificationError,
    one_line,
)
from tarkit.streams.atomic import from_os_error

EXIT_CODES: tuple[tuple[type[TarkitError], int], ...] = (
    (UsageError, 2),
    (NotFoundError, 3),
    (VerificationError, 4),
    (AuthenticationError, 5),
    (RefusedError, 6),
    (TarkitError, 1),
)
INTERRUPTED = 130
TERMINATED = 143
HUNG_UP = 129
_PATIENCE = 1.0  # seconds

COMMANDS = (
    "copy",
    "list",
    "inspect",
    "verify",
    "ls",
    "cat",
    "diff",
    "rootfs",
    "ext4",
    "squashfs",
    "erofs",
    "login",
    "logout",
)
"""Each is the function ``NAME_command`` of the module of that name."""


def _print_version(value: bool) -> None:
    if value:
        print(f"tarkit {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Read, verify, convert, take apart and move container images that are files."""


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command that *arguments* begin with, or with all of them.

    Importing every command would cost more than most of them take.
    """
    app = typer.Typer(
        name="tarkit",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    wanted = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    for name in wanted:
        module = import_module(f"tarkit.cli.{name}")
        app.command(name)(getattr(module, f"{name}_command"))
    return app


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit code. Every error is one line on stderr."""
    _end_on_signals()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names need not fit the locale's encoding
            stream.reconfigure(errors="backslashreplace")
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = build_app(arguments)(arguments, prog_name="tarkit", standalone_mode=False)
        if sys.stdout is not None:  # it is where the shell closed it
            sys.stdout.flush()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except SystemExit as stop:
        if stop.code in (TERMINATED, HUNG_UP):
            return _fail("terminated", stop.code)
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    except TarkitError as error:
        _raise_if_debugging(arguments)
        return _fail(str(error), exit_code(error))
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        _silence(sys.stdout)
        return 1
    except OSError as error:
        _raise_if_debugging(arguments)
        typed = from_os_error(error, error.filename or "input/output")
        return _fail(str(typed), exit_code(typed))
    except Exception as error:
        format_message = getattr(error, "format_message", None)  # a usage error of typer's
        if format_message is None:
            raise
        return _fail(format_message(), 2)


def exit_code(error: TarkitError) -> int:
    """The exit code that tells of *error*."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def _fail(message: str, code: int) -> int:
    try:
        note(one_line(message))
    except OSError:
        _silence(sys.stderr)
    return code


def _silence(stream: TextIO | None) -> None:
    """Nobody reads *stream* any more: what is left in it goes nowhere, and the exit code stays."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _raise_if_debugging(arguments: list[str]) -> None:
    if "--debug" in arguments:
        raise


def _end_on_signals() -> None:
    """Have SIGTERM, and SIGINT and SIGHUP unless they are ignored, end the command with all cleaned up.

    `timeout` and some shells send a signal twice: what follows soon must not break into the cleaning
    up. Whoever sends one later will not wait; even then nothing half-written has a name.
    """
    began: list[float] = []
    codes = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}
    if hasattr(signal, "SIGHUP"):
        codes[signal.SIGHUP] = HUNG_UP

    def end(number: int, _: FrameType | None) -> None:
        code = codes[signal.Signals(number)]
        if not began:
            began.append(monotonic())
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(code)
        if monotonic() - began[0] > _PATIENCE:
            os._exit(code)

    for number in codes:
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)
