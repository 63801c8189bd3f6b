"""Messages on standard error; a failure to print one never changes the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def say(text: str) -> None:
    """Print a line on standard error, unless that is closed.

    ``print(file=None)`` would write to standard output instead.
    """
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # a full disk or a closed pipe: the command goes on without messages
        silence(sys.stderr)


def note(text: str) -> None:
    """Print a line with the prefix ``tarkit:`` on standard error."""
    say(f"tarkit: {text}")


def silence(stream: TextIO | None) -> None:
    """Discard the buffered output of *stream* and everything written to it later.

    Otherwise the interpreter flushes it at exit, fails again and replaces the exit code.
    """
    if stream is None:
        return
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def flush_output() -> None:
    """Flush standard output. If that fails, discard the rest and raise the error."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            silence(sys.stdout)
            error.filename = "standard output"
            raise


@contextmanager
def reporting_success() -> Iterator[None]:
    """Print the result of a command whose output is already complete.

    A failure to print becomes a note and does not change the exit code: the copy or image exists,
    and repeating the command would only write it again. If the output itself went to standard
    output, such as an archive, it is flushed before the block, and a failure raises. Commands
    that only print, such as ``list`` or ``cat``, do not use this block.
    """
    flush_output()
    try:
        yield
        flush_output()
    except OSError as error:
        silence(sys.stdout)
        note(f"the output is complete, but standard output failed: {error.strerror or error}")
