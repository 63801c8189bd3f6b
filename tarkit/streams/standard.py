"""Standard input and output, which the shell may have closed."""

from __future__ import annotations

import sys
from typing import BinaryIO, TextIO

from tarkit.errors import TransportError


def is_terminal() -> bool:
    """Return whether standard input is a terminal, so that a prompt is possible."""
    return sys.stdin is not None and sys.stdin.isatty()


def standard_text() -> TextIO:
    """Return standard input as text; raises :class:`TransportError` if it is closed."""
    if sys.stdin is None:
        raise TransportError("is closed", where="standard input")
    return sys.stdin


def standard_input() -> BinaryIO:
    """Return standard input, the input ``-``, as bytes.

    Raises :class:`TransportError` if it is closed.
    """
    return standard_text().buffer


def standard_output() -> BinaryIO:
    """Return standard output, the output ``-``, as bytes.

    Raises :class:`TransportError` if it is closed.
    """
    if sys.stdout is None:
        raise TransportError("is closed", where="standard output")
    return sys.stdout.buffer
