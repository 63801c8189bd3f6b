"""Print messages on standard error; a failure to print never changes the exit code."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

_json = False  # set before the command runs


def say(text: str) -> None:
    """Print a line on standard error, or do nothing if it is closed.

    If standard error is closed, ``print(file=None)`` would write to standard output instead.
    """
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # full disk or closed pipe: continue without messages
        silence(sys.stderr)


def is_set(flag: str, arguments: Sequence[str]) -> bool:
    """Return True if *flag* is among *arguments*, which are not parsed yet; it may be ``=true``."""
    values = (argument.removeprefix(flag) for argument in arguments if argument.startswith(flag))
    return any(value.lower() in ("", "=1", "=t", "=true") for value in values)


def use_json(wanted: bool) -> None:
    """Choose JSON objects or plain lines for all later messages."""
    global _json
    _json = wanted


def note(text: str) -> None:
    """Print a line with the prefix ``tarkit:`` on standard error, or a JSON event."""
    if _json:
        say_event("note", message=text)
    else:
        say(f"tarkit: {text}")


def fail(text: str, code: int) -> None:
    """Print the reason why the command exits with *code*, as :func:`note` does."""
    if _json:
        say_event("error", message=text, exit_code=code)
    else:
        note(text)


def say_event(event: str, **fields: object) -> None:
    """Print an event as a JSON object on one line of standard error."""
    say(json.dumps({"event": event, **fields}))


_freeze: Callable[[], None] | None = None  # at most one command draws


def before_stopping(freeze: Callable[[], None] | None) -> None:
    """Call *freeze*, which ends the drawing of progress, before :func:`announce_stop` prints."""
    global _freeze
    _freeze = freeze


def announce_stop() -> None:
    """Say at once that the command is stopping, below the lines that are drawn.

    A signal handler calls this, perhaps in the middle of another write to the same stream, which
    Python refuses with an error. Nothing may replace the exception that the handler raises next.
    """
    if _freeze is not None:
        with suppress(Exception):
            _freeze()
            note("stopping")


def silence(stream: TextIO | None) -> None:
    """Discard the buffered output of *stream* and everything written to it later.

    Otherwise, the interpreter would flush the stream on exit, fail again and change the exit code.
    """
    if stream is None:
        return
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def flush_output() -> None:
    """Flush standard output; if that fails, discard the buffered output and raise the error."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            silence(sys.stdout)
            raise


@contextmanager
def reporting_success() -> Iterator[None]:
    """Print the result of a command whose output is already complete.

    If printing in the block fails, a note is printed, but the exit code does not change: the copy
    or image exists, and repeating the command would only write it again. Output already written to
    standard output, such as an archive, is flushed before the block; if that fails, the error is
    raised. Commands that only print, such as ``list`` or ``cat``, do not use this context manager.
    """
    flush_output()
    try:
        yield
        flush_output()
    except OSError as error:
        silence(sys.stdout)
        note(f"the output is complete, but standard output failed: {error.strerror or error}")
