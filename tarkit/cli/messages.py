"""Messages for people on standard error, which must never decide how a command ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


def say(text: str) -> None:
    """Print a line on standard error, if anybody can read it there.

    ``print`` would take standard output if the shell closed standard error.
    """
    if sys.stderr is None:
        return
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # a full disk or a closed pipe: the command goes on without messages
        silence(sys.stderr)


def note(text: str) -> None:
    """Print a line for the reader on standard error."""
    say(f"tarkit: {text}")


def silence(stream: TextIO | None) -> None:
    """Discard everything that *stream* still holds and everything written to it later.

    Otherwise the interpreter flushes it again as it exits, fails and replaces the exit code.
    """
    if stream is None:
        return
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def flush_output() -> None:
    """Write out standard output; after a failure, nothing tries to write the rest again."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            silence(sys.stdout)
            error.filename = "standard output"
            raise


@contextmanager
def reporting_success() -> Iterator[None]:
    """Print the result of a command whose output is already in place.

    A failure to print it to standard output becomes a note and does not change the exit code: the
    copy or image exists, and repeating the command would only write it again. An output that is
    itself on standard output, such as an archive, is written out first and fails. Commands whose
    result is text, such as ``list`` or ``cat``, print outside such a block and fail.
    """
    flush_output()
    try:
        yield
        flush_output()
    except OSError as error:
        silence(sys.stdout)
        note(f"the output is complete, but standard output failed: {error.strerror or error}")
