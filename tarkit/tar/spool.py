"""What arrives through a pipe, kept in a file without a name while it is read for the first time."""

from __future__ import annotations

from typing import BinaryIO

from tarkit.streams.chunks import Readable, write_all
from tarkit.streams.os_errors import from_os_error, os_errors


def new_spool() -> BinaryIO:
    """A temporary file that is gone when it is closed, or when the process is; honours ``TMPDIR``."""
    import tempfile

    with os_errors("the directory for temporary files"):
        return tempfile.TemporaryFile(buffering=0)


class Spooling:
    """A *stream* whose bytes are counted, and written to *spool* where there is one, as they are read.

    Raises :class:`~tarkit.errors.NoSpaceError` where the spool does not hold them.
    """

    def __init__(self, stream: Readable, spool: BinaryIO | None, where: str) -> None:
        self._stream = stream
        self._spool = spool
        self._where = where
        self._peeked = b""
        self.size = 0

    def peek(self, size: int) -> bytes:
        """The first *size* bytes, which are still to be read; fewer where there are no more."""
        while len(self._peeked) < size and (data := self._receive(size - len(self._peeked))):
            self._peeked += data
        return self._peeked

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes, or what is at hand where it is negative; none at the end only."""
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
        failure.hint = "set TMPDIR to a place with more room, or give a file instead of a pipe"
        raise failure from error
