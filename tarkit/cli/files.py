"""Files that commands read and write byte for byte; ``-`` is standard input or output."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tarkit.cli.messages import note
from tarkit.errors import TarkitError, UsageError
from tarkit.image.digest import Digest

OutputFile = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="File to write; - for standard output."),
]


def opened_input(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open *path* for reading; a context manager. Raises :class:`PathNotFoundError`."""
    from tarkit.streams.os_errors import os_errors
    from tarkit.streams.standard import standard_input

    if str(path) == "-":
        return nullcontext(standard_input())
    with os_errors(path):
        return path.open("rb", buffering=0)


def written_output(path: Path, chunks: Iterable[bytes]) -> None:
    """Write *chunks* to *path*, which appears complete or not at all."""
    from tarkit.streams.atomic import atomic_file
    from tarkit.streams.chunks import write_all
    from tarkit.streams.standard import standard_output

    if str(path) != "-":
        with atomic_file(path.absolute()) as file:
            for chunk in chunks:
                file.write(chunk)
        return
    output = standard_output()
    for chunk in chunks:
        write_all(output, chunk)


def require_no_terminal(path: Path | str, content: str) -> None:
    """Raise :class:`UsageError` if *path* is ``-`` and *content*, binary data, would go to a terminal."""
    if str(path) == "-" and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            f"{content} would be written to the terminal", hint="name a file, or use a pipe"
        )


def announce_wait() -> None:
    """Say that the command waits, if standard input is a terminal."""
    from tarkit.streams.standard import is_terminal

    if is_terminal():
        note("waiting for an archive on standard input, which is a terminal and not a pipe")


def digest_argument(text: str) -> Digest:
    """Parse *text*; raises :class:`UsageError` if it is not a digest."""
    try:
        return Digest.parse(text)
    except TarkitError as error:
        raise UsageError(error.message) from None
