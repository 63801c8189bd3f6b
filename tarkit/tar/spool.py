"""Copies of pipes in temporary files, made while the pipe is read for the first time."""

from __future__ import annotations

from typing import BinaryIO

from tarkit.streams.chunks import Readable, write_all
from tarkit.streams.os_errors import from_os_error, os_errors


def new_spool() -> BinaryIO:
    """Open an unnamed temporary file, which vanishes on closing or exit; honours ``TMPDIR``."""
    import tempfile

    with os_errors("the directory for temporary files"):
        return tempfile.TemporaryFile(buffering=0)


class Spooling:
    """Counts the bytes read from *stream* in ``size``, and copies them to *spool* unless it is None.

    Raises :class:`~tarkit.errors.NoSpaceError` if the spool is out of space.
    """

    def __init__(self, stream: Readable, spool: BinaryIO | None, where: str) -> None:
        self._stream = stream
        self._spool = spool
        self._where = where
        self._peeked = b""
        self.size = 0

    def peek(self, size: int) -> bytes:
        """Return the next *size* bytes without consuming them; fewer only at the end."""
        while len(self._peeked) < size and (data := self._receive(size - len(self._peeked))):
            self._peeked += data
        return self._peeked

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes, or any number if it is negative; empty only at the end."""
        if not self._peeked:
            return self._receive(size)
        data = self._peeked if size < 0 else self._peeked[:size]
        self._peeked = self._peeked[len(data) :]
        return data

    def _receive(self, size: int) -> bytes:
        with os_errors(self._where):
            data = self._stream.read(size)
        self.size += len(data)
        if self._spool is not None:
            _write(self._spool, data)
        return data


def _write(spool: BinaryIO, data: bytes) -> None:
    try:
        write_all(spool, data)
    except OSError as error:
        from tempfile import gettempdir

        failure = from_os_error(error, f"the spool in {gettempdir()}")
        failure.hint = "set TMPDIR to a directory with more space, or use a file instead of a pipe"
        raise failure from error
