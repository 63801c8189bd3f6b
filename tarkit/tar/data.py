"""The data of an indexed archive, readable at any offset and by any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import BinaryIO, Protocol

from tarkit.errors import TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import PositionedReader, Readable
from tarkit.streams.os_errors import from_os_error
from tarkit.streams.uncached import read_at
from tarkit.tar.member import Member
from tarkit.tar.tape import SeekingTape


class ArchiveData(Protocol):
    """The bytes of an uncompressed archive, by offset."""

    @property
    def random_access(self) -> bool:
        """True if reading is equally fast at every offset."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*, empty only after the end."""
        ...


class FileData:
    """A plain file."""

    random_access = True

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._where = where

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*, empty only after the end."""
        try:  # entering os_errors() takes longer than the call
            return read_at(self._file.fileno(), size, offset)
        except OSError as error:
            raise from_os_error(error, self._where) from error

    def stream(self) -> Readable:
        """Return a new stream over the whole file."""
        return _FromStart(self)

    def tape(self) -> SeekingTape:
        """Return a tape over the whole file, for callers that skip most of it."""
        return SeekingTape(_FromStart(self), os.fstat(self._file.fileno()).st_size)


class ForwardData:
    """A stream without random access: to read an earlier offset, *reopen* starts a new one."""

    random_access = False

    def __init__(self, reopen: Callable[[], BinaryIO]) -> None:
        self.reopen = reopen
        self._stream = reopen()
        self._position = 0
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*, empty only after the end."""
        with self._lock:
            if offset < self._position:
                self._stream.close()
                self._stream, self._position = self.reopen(), 0
            while self._position < offset:
                if not self._read(min(offset - self._position, CHUNK_SIZE)):
                    return b""
            return self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class NoData:
    """The data of a pipe that was not kept."""

    random_access = False

    def __init__(self, where: str) -> None:
        self._where = where

    def read_at(self, offset: int, size: int) -> bytes:
        """Raise :class:`UnsupportedError`."""
        raise UnsupportedError(
            "data of a pipe was not kept", where=self._where, hint="save it to a file first"
        )


class _FromStart:
    """A stream over a file that starts at the first byte."""

    def __init__(self, file: FileData) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read_at(self._position, CHUNK_SIZE if size < 0 else size)
        self._position += len(data)
        return data

    def seek(self, offset: int, /) -> int:
        self._position = offset
        return offset


class StoredData(PositionedReader):
    """The stored bytes of a member as a stream; closing it leaves the archive open.

    It is seekable if *data* has random access. Reads raise :class:`TruncatedError` if the archive
    was truncated after it was indexed.
    """

    def __init__(self, data: ArchiveData, member: Member, where: str) -> None:
        super().__init__(member.stored)
        self._data = data
        self._start = member.data_offset
        self._where = where

    def seekable(self) -> bool:
        """Return True if the archive has random access."""
        return self._data.random_access

    def _piece(self, position: int, size: int) -> bytes:
        data = self._data.read_at(self._start + position, size)
        if not data:
            raise TruncatedError("the archive was truncated while it was read", where=self._where)
        return data
