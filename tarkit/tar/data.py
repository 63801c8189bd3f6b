"""Where the data of an indexed archive is read from, at any offset and by any thread."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO, Protocol

from tarkit.errors import TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable
from tarkit.streams.os_errors import from_os_error
from tarkit.streams.uncached import read_at
from tarkit.tar.member import Member
from tarkit.tar.tape import SeekingTape

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class ArchiveData(Protocol):
    """The bytes of an uncompressed archive, by offset."""

    @property
    def random_access(self) -> bool:
        """Whether every offset costs the same."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*; none behind the end only."""
        ...


class FileData:
    """A plain file."""

    random_access = True

    def __init__(self, file: BinaryIO, where: str) -> None:
        self._file = file
        self._where = where

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*; none behind the end only."""
        try:  # os_errors() takes longer than the call
            return read_at(self._file.fileno(), size, offset)
        except OSError as error:
            raise from_os_error(error, self._where) from error

    def stream(self) -> Readable:
        """Everything, in a stream of its own."""
        return _FromStart(self)

    def tape(self) -> SeekingTape:
        """Everything, for those who skip most of it."""
        return SeekingTape(_FromStart(self), os.fstat(self._file.fileno()).st_size)


class ForwardData:
    """A stream that can only be read onwards: what is behind it takes a new one.

    *reopen* opens it at its first byte.
    """

    random_access = False

    def __init__(self, reopen: Callable[[], BinaryIO]) -> None:
        self.reopen = reopen
        self._stream = reopen()
        self._position = 0
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*; none behind the end only."""
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
    """A pipe whose data went by."""

    random_access = False

    def __init__(self, where: str) -> None:
        self._where = where

    def read_at(self, offset: int, size: int) -> bytes:
        """Raises :class:`UnsupportedError`."""
        raise UnsupportedError(
            "its data was not kept as it went by", where=self._where, hint="save it to a file first"
        )


class _FromStart:
    """A file as a stream of its own, at the first byte."""

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


class StoredData(io.RawIOBase, BinaryIO):
    """The stored bytes of one member as a stream; closing it leaves the archive open.

    Seekable where the archive is read at random. Raises :class:`TruncatedError` where the archive
    has become shorter than its index.
    """

    def __init__(self, data: ArchiveData, member: Member, where: str) -> None:
        super().__init__()
        self._data = data
        self._start = member.data_offset
        self._size = member.stored
        self._where = where
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """Whether :meth:`seek` costs nothing."""
        return self._data.random_access

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to *offset*, counted from where *whence* says."""
        if not self.seekable():
            raise io.UnsupportedOperation("seek")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("a position before the start")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to *size* bytes, perhaps fewer; all that is left where *size* is negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_SIZE), b""))
        wanted = min(size, self._size - self._at)
        if wanted <= 0:
            return b""
        data = self._data.read_at(self._start + self._at, wanted)
        if not data:
            raise TruncatedError("the archive became shorter while it was read", where=self._where)
        self._at += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill *buffer* from the front; the number of bytes put there."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
