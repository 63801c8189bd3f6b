"""Standard input and output, which the shell may have closed."""

from __future__ import annotations

import sys
from typing import BinaryIO, TextIO

from tarkit.errors import TransportError


def is_terminal() -> bool:
    """Whether standard input is a terminal, where somebody can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def standard_text() -> TextIO:
    """Standard input as text; raises :class:`TransportError` where the shell closed it."""
    if sys.stdin is None:
        raise TransportError("is closed", where="standard input")
    return sys.stdin


def standard_input() -> BinaryIO:
    """What is read where ``-`` is named, as bytes; raises as :func:`standard_text`."""
    return standard_text().buffer


def standard_output() -> BinaryIO:
    """What is written to where ``-`` is named, as bytes; raises as :func:`standard_text`."""
    if sys.stdout is None:
        raise TransportError("is closed", where="standard output")
    return sys.stdout.buffer
