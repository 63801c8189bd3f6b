"""Tar archives as named members: plain files, compressed files and pipes."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    MemberNotFoundError,
    NotAnImageError,
    UnsupportedError,
)
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable, chunks_of, read_bounded
from tarkit.streams.closeable import Closeable
from tarkit.streams.codecs import SNIFF_SIZE, Compression, decompress, detect
from tarkit.streams.os_errors import os_errors
from tarkit.streams.uncached import read_at
from tarkit.tar.data import ArchiveData, FileData, ForwardData, NoData, StoredData
from tarkit.tar.index import TarIndex, index_file, index_stream
from tarkit.tar.member import Member
from tarkit.tar.names import MemberNames, shown

MAX_HOLES = 64 << 30
"""Largest total size of the holes of a member in bytes: they are free to write but slow to read."""


class Archive(Closeable):
    """An open archive, with members by name and data that any thread may read; a context manager.

    If :attr:`random_access` is false, reading members in the order of their ``data_offset`` is fast
    and any other order is slow; small members stay in memory. ``size`` is that of the file or pipe
    in bytes, before decompression.
    """

    def __init__(
        self,
        index: TarIndex,
        data: ArchiveData,
        file: BinaryIO | None,
        *,
        compression: Compression,
        size: int,
        where: str,
    ) -> None:
        self._index = index
        self._data = data
        self._file = file
        self._names = MemberNames(index.members, where)
        self._opened = None if file is None else os.fstat(file.fileno())
        self.compression = compression
        self.size = size
        self.where = where

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the archive at *path*, detecting compression by its first bytes; spool a pipe.

        Waits until a process opens a FIFO for writing. Raises :class:`PathNotFoundError`,
        :class:`NotAnImageError` for a directory or character device, and as
        :class:`~tarkit.tar.reader.TarReader`.
        """
        where = str(path)
        if path.is_dir():
            raise NotAnImageError("is a directory, not an archive", where=where)
        with contextlib.ExitStack() as stack:
            with os_errors(where):
                file = stack.enter_context(path.open("rb", buffering=0))
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISCHR(mode):  # such as /dev/zero, which has no end
                raise NotAnImageError("is a character device, not an archive", where=where)
            with os_errors(where):
                if not stat.S_ISREG(mode):
                    return cls.from_stream(file, where=where)
                archive = cls._from_file(file, where)
            stack.pop_all()
        return archive

    @classmethod
    def from_stream(cls, stream: Readable, *, keep_data: bool = True, where: str = "-") -> Self:
        """Read an archive from *stream* to its end, without closing it.

        An unnamed temporary file keeps the stream, still compressed. Without *keep_data* there is
        no such file, and only small members can be read.
        """
        from tarkit.tar.spool import Spooling, new_spool

        with contextlib.ExitStack() as stack:
            spool = stack.enter_context(new_spool()) if keep_data else None
            source = Spooling(stream, spool, where)
            compression = detect(source.peek(SNIFF_SIZE))
            index = index_stream(decompress(source, compression, where=where), where=where)
            for _ in chunks_of(source):
                pass  # a decompressor may stop before the end of its input
            data = NoData(where) if spool is None else _data(spool, compression, where)
            stack.pop_all()
        return cls(index, data, spool, compression=compression, size=source.size, where=where)

    @classmethod
    def _from_file(cls, file: BinaryIO, where: str) -> Self:
        compression = detect(read_at(file.fileno(), SNIFF_SIZE, 0))
        data = _data(file, compression, where)
        if isinstance(data, ForwardData):
            index = index_stream(data.reopen(), where=where)
        else:
            index = index_file(file, where=where)
        size = os.fstat(file.fileno()).st_size
        return cls(index, data, file, compression=compression, size=size, where=where)

    @property
    def members(self) -> tuple[Member, ...]:
        """All members in the order of the archive."""
        return self._index.members

    @property
    def random_access(self) -> bool:
        """True if reading members is equally fast in any order."""
        return self._data.random_access

    @property
    def descriptor(self) -> int | None:
        """The file descriptor of a plain archive; None if it is compressed or was not kept."""
        return self._file.fileno() if self.random_access and self._file is not None else None

    @property
    def padded(self) -> bool:
        """True if the last block of the last member is complete."""
        return self._index.padded

    @property
    def trailer(self) -> bool:
        """True if two zero blocks end the archive."""
        return self._index.trailer

    @property
    def trailing(self) -> int:
        """Number of bytes after the trailer, from the first one that is not zero."""
        return self._index.trailing

    @property
    def duplicates(self) -> tuple[bytes, ...]:
        """Names shared by several members; directories may repeat."""
        return self._names.duplicates

    def candidates(self, name: str | bytes) -> tuple[Member, ...]:
        """Return all members called *name* in order, without following links; compares cleaned names."""
        return self._names.candidates(name)

    def find(self, name: str | bytes) -> Member | None:
        """Return the last member called *name*, as extraction would leave it, following links.

        Return None if there is none. Raises :class:`UnsafePathError` for a loop of links or a link
        out of the archive, and :class:`MemberNotFoundError` for a dangling link.
        """
        return self._names.find(name)

    def open_member(self, member: Member) -> BinaryIO:
        """Open the logical content of *member*, or of the target if it is a link.

        Streams are independent of each other, and seekable if :attr:`random_access` is true and the
        member is not sparse. Raises the errors of :meth:`find`, :class:`MalformedError` if the
        member is not a file, :class:`LimitExceededError` if its holes exceed ``MAX_HOLES``, and
        :class:`UnsupportedError` if the data was not kept.
        """
        member = self._names.resolve(member)
        if not member.type.has_data:
            raise MalformedError(f"{shown(member.name)} is not a file", where=self.where)
        if member.size - member.stored > MAX_HOLES:
            message = f"{shown(member.name)} has more than {MAX_HOLES} bytes of holes"
            raise LimitExceededError(message, limit=MAX_HOLES, where=self.where)
        kept = self._index.kept.get(member.data_offset)
        stored: BinaryIO
        if kept is not None:
            stored = io.BytesIO(kept)
        else:
            stored = StoredData(self._data, member, self.where)
        if member.sparse is None:
            return stored
        from tarkit.tar.sparse import SparseContent

        return SparseContent(stored, member)

    def compression_of(self, member: Member) -> Compression:
        """Return the compression of *member*, or of its target, from its cached first bytes."""
        member = self._names.resolve(member)
        head = None if member.sparse else self._index.heads.get(member.data_offset)
        if head is None:
            with self.open_member(member) as stream:
                head = stream.read(SNIFF_SIZE)
        return detect(head)

    def read(self, name: str | bytes, limit: int) -> bytes:
        """Return the content of the small member called *name*.

        Raises :class:`MemberNotFoundError`, :class:`LimitExceededError` if it exceeds *limit* bytes,
        and :class:`MalformedError` if several members of that name differ: two tools would then see
        two different images.
        """
        holders = self._names.holders(name)
        if not holders:
            raise MemberNotFoundError(f"no member {shown(name)}", where=self.where)
        content = self._read(holders[0], limit)
        if any(self._read(other, limit) != content for other in holders[1:]):
            raise MalformedError(f"has two different {shown(name)}", where=self.where)
        return content

    def _read(self, member: Member, limit: int) -> bytes:
        if member.size > limit:
            message = f"{shown(member.name)} is larger than {limit} bytes"
            raise LimitExceededError(message, limit=limit, where=self.where)
        with self.open_member(member) as stream:
            return read_bounded(stream, limit, where=self.where)

    def raw(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the uncompressed bytes of the archive from *start* to *end*, headers included."""
        while start < end and (chunk := self._data.read_at(start, min(CHUNK_SIZE, end - start))):
            yield chunk
            start += len(chunk)

    def fileno(self) -> int:
        """Return the descriptor of the file; raises :class:`UnsupportedError` if it was not kept."""
        if self._file is None:
            raise UnsupportedError("data of a pipe was not kept", where=self.where)
        return self._file.fileno()

    def is_file(self, status: os.stat_result | None) -> bool:
        """Return True if *status* is that of the opened file, unchanged since then."""
        return (
            status is not None
            and self._opened is not None
            and os.path.samestat(status, self._opened)
            and (status.st_size, status.st_mtime_ns)
            == (self._opened.st_size, self._opened.st_mtime_ns)
        )

    def close(self) -> None:
        """Close the file, or delete the spool."""
        if self._file is not None:
            self._file.close()


def _data(file: BinaryIO, compression: Compression, where: str) -> FileData | ForwardData:
    stored = FileData(file, where)
    if compression is Compression.NONE:
        return stored
    return ForwardData(lambda: decompress(stored.stream(), compression, where=where))
