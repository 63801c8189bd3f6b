"""Report failures as one line on standard error and an exit code."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

from tarkit.cli.messages import fail, is_set, say
from tarkit.errors import (
    AuthenticationError,
    BuildError,
    NotFoundError,
    RefusedError,
    TarkitError,
    UsageError,
    VerificationError,
    one_line,
)

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


def exit_code(error: TarkitError) -> int:
    """Return the exit code for *error*; a failed step has that of its reason."""
    if isinstance(error, BuildError) and error.reason is not None:
        error = error.reason
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


def report(error: BaseException, *, debug: bool = False) -> int:
    """Print *error* on standard error as one line or JSON event, preceded by its traceback if *debug*.

    Returns the exit code.
    """
    message, code = _described(error)
    if debug and message:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip("\n"))
    if message:
        fail(one_line(message), code)
    return code


def wants_debugging(arguments: Sequence[str]) -> bool:
    """Return whether ``--debug`` or the environment variable ``TARKIT_DEBUG`` is set."""
    return is_set("--debug", arguments) or bool(os.environ.get("TARKIT_DEBUG"))


def report_threads(*, debug: bool) -> None:
    """Report uncaught errors in threads as one line each, preceded by a traceback if *debug*."""

    def hook(failed: threading.ExceptHookArgs) -> None:
        report(failed.exc_value or failed.exc_type(), debug=debug)

    threading.excepthook = hook


def _described(error: BaseException) -> tuple[str, int]:
    if isinstance(error, TarkitError):
        return str(error), exit_code(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, SystemExit):
        return _described_exit(error)
    if isinstance(error, BrokenPipeError):
        return "", 1  # the reader closed the pipe, as in `tarkit ls | head`
    if isinstance(error, OSError):
        from tarkit.streams.os_errors import from_os_error

        return _described(from_os_error(error, error.filename or "input/output"))
    if isinstance(error, MemoryError):
        return "out of memory", 1
    if isinstance(error, ImportError):  # often because memory or file descriptors ran out
        return f"cannot load {error.name or 'a module'}: {error.msg}", 1
    return _described_unexpected(error)


def _described_exit(stop: SystemExit) -> tuple[str, int]:
    if stop.code in (TERMINATED, HUNG_UP):
        return "terminated", stop.code
    return "", stop.code if isinstance(stop.code, int) else int(bool(stop.code))


def _described_unexpected(error: BaseException) -> tuple[str, int]:
    kind = type(error).__name__
    text = f"{kind}: {error}" if str(error) else kind
    return (
        f"internal error: {text[:_MAX_LENGTH]}; please report it (--debug shows the traceback)",
        1,
    )


_MAX_LENGTH = 500  # characters of an unexpected error, which may quote input
