"""Standard input and output as bytes, which the shell may have closed."""

from __future__ import annotations

import sys
from typing import BinaryIO

from tarkit.errors import TransportError


def standard_input() -> BinaryIO:
    """What is read where ``-`` is named; raises :class:`TransportError` where the shell closed it."""
    if sys.stdin is None:
        raise TransportError("is closed", where="standard input")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """What is written to where ``-`` is named; raises as :func:`standard_input`."""
    if sys.stdout is None:
        raise TransportError("is closed", where="standard output")
    return sys.stdout.buffer
