"""Standard input and output, which the shell may have closed."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from tarkit.errors import NotAnImageError, TransportError
from tarkit.streams.os_errors import os_errors

_INPUT = "standard input"


def is_terminal() -> bool:
    """Return True if standard input is a terminal, so that a prompt is possible."""
    return sys.stdin is not None and sys.stdin.isatty()


def standard_text() -> TextIO:
    """Return standard input as text; raises :class:`TransportError` if it is closed."""
    if sys.stdin is None:
        raise TransportError("is closed", where=_INPUT)
    return sys.stdin


def standard_input() -> BinaryIO:
    """Return standard input, the input ``-``, as bytes.

    Raises :class:`TransportError` if it is closed, and :class:`NotAnImageError` if it is empty or
    a device without an end, such as ``/dev/zero``.
    """
    stream = standard_text().buffer
    with suppress(OSError):  # a replacement, as in tests, has no descriptor
        status = os.fstat(stream.fileno())
        if stat.S_ISCHR(status.st_mode) and not (stream.isatty() or _is_null(status)):
            raise NotAnImageError("is a character device, not an archive", where=_INPUT)
    peek = getattr(stream, "peek", None)
    with os_errors(_INPUT):
        if peek is not None and not peek(1):
            hint = "did the command before the pipe fail?"
            raise NotAnImageError("is empty", where=_INPUT, hint=hint)
    return stream


def _is_null(status: os.stat_result) -> bool:
    try:
        return os.path.samestat(status, Path(os.devnull).stat())
    except OSError:
        return False


def standard_output() -> BinaryIO:
    """Return standard output, the output ``-``, as bytes.

    Raises :class:`TransportError` if it is closed.
    """
    if sys.stdout is None:
        raise TransportError("is closed", where="standard output")
    return sys.stdout.buffer
