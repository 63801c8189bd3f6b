"""Name standard output in its errors, and report that it is closed."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NAME = "standard output"


class _Named(io.RawIOBase):
    """A binary stream that passes everything to *stream*, whose errors it names."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: ReadableBuffer, /) -> int:
        with _naming():
            return self._stream.write(data)

    def flush(self) -> None:
        with _naming():
            self._stream.flush()


@contextmanager
def named_output() -> Iterator[None]:
    """Make errors of standard output name it during the block; if it is closed, writing fails.

    Without this, ``print`` does nothing if the shell closed the stream, and its errors name no file.
    """
    original = sys.stdout
    if original is not None and not isinstance(original, io.TextIOWrapper):
        yield  # a replacement, as in tests, has no file
        return
    binary = original.buffer if original else _unwritable()
    if original is not None:
        with suppress(OSError):
            original.flush()
    sys.stdout = io.TextIOWrapper(
        _Named(binary),
        encoding=original.encoding if original else "utf-8",
        errors="backslashreplace",  # the locale may lack a character of a name
        line_buffering=original.line_buffering if original else False,
        write_through=original.write_through if original else False,
    )
    try:
        yield
    finally:
        with suppress(OSError):
            sys.stdout.flush()
        sys.stdout = original


def _unwritable() -> BinaryIO:
    """Return a stream to which every write fails.

    It usually takes the descriptor of the closed stream, which no other file can get then: a
    program started later would write its messages there.
    """
    return os.fdopen(os.open(os.devnull, os.O_RDONLY), "wb", buffering=0, closefd=False)


@contextmanager
def _naming() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EBADF:
            error.strerror = "is closed"
        error.filename = NAME
        raise
