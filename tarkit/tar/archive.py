"""A tar file as named members, whether it is plain, compressed or comes through a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, Self

from tarkit.errors import LimitExceededError, MalformedError, MemberNotFoundError, NotAnImageError
from tarkit.streams.chunks import Readable, chunks_of, read_bounded
from tarkit.streams.closeable import Closeable
from tarkit.streams.codecs import SNIFF_SIZE, Compression, decompress, detect
from tarkit.streams.os_errors import os_errors
from tarkit.streams.uncached import read_at
from tarkit.tar.data import ArchiveData, FileData, ForwardData, NoData, StoredData
from tarkit.tar.index import TarIndex, index_file, index_stream
from tarkit.tar.member import Member
from tarkit.tar.names import Names, shown
from tarkit.tar.sparse import SparseContent
from tarkit.tar.spool import Spooling, new_spool

MAX_HOLES = 64 << 30
"""Most bytes that a member's holes may stand for: they cost nothing to write and time to read."""


class Archive(Closeable):
    """An open archive: its members by name, their data by any thread; a context manager.

    Where :attr:`random_access` is false, members are cheap to read in the order of their
    ``data_offset`` and dear in any other; small ones are at hand in any case.
    ``size`` counts the bytes of the file or pipe, as ``compression`` left them.
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
        self._names = Names(index.members, where)
        self.compression = compression
        self.size = size
        self.where = where

    @classmethod
    def open(cls, path: Path) -> Self:
        """The archive in *path*, plain or compressed as its first bytes say; a pipe is spooled.

        Raises :class:`PathNotFoundError`, and what :class:`~tarkit.tar.reader.TarReader` raises.
        """
        where = str(path)
        if path.is_dir():
            raise NotAnImageError("is a directory, not an archive", where=where)
        with contextlib.ExitStack() as stack:
            with os_errors(where):
                file = stack.enter_context(path.open("rb", buffering=0))
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return cls.from_stream(file, where=where)
            archive = cls._from_file(file, where)
            stack.pop_all()
        return archive

    @classmethod
    def from_stream(cls, stream: Readable, *, keep_data: bool = True, where: str = "-") -> Self:
        """The archive that *stream* brings, read to its very end; not closed.

        What arrives is spooled as it is, still compressed, to an unnamed temporary file. Without
        *keep_data* nothing is, and only small members can be read.
        """
        with contextlib.ExitStack() as stack:
            spool = stack.enter_context(new_spool()) if keep_data else None
            source = Spooling(stream, spool, where)
            compression = detect(source.peek(SNIFF_SIZE))
            index = index_stream(decompress(source, compression, where=where), where=where)
            for _ in chunks_of(source):
                pass  # a codec may stop before the end of its input
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
        """All members, in the order of the archive."""
        return self._index.members

    @property
    def random_access(self) -> bool:
        """Whether members cost the same in any order."""
        return self._data.random_access

    @property
    def padded(self) -> bool:
        """Whether the last block of the last member is whole."""
        return self._index.padded

    @property
    def trailer(self) -> bool:
        """Whether the two zero blocks that end an archive are there."""
        return self._index.trailer

    @property
    def trailing(self) -> int:
        """Bytes behind the end, from the first one that is not zero."""
        return self._index.trailing

    @property
    def duplicates(self) -> tuple[bytes, ...]:
        """Names that several members have, directories aside."""
        return self._names.duplicates

    def candidates(self, name: str | bytes) -> tuple[Member, ...]:
        """All members of that name, as they are, in order; names compare after path-cleaning."""
        return self._names.candidates(name)

    def find(self, name: str | bytes) -> Member | None:
        """The last member of that name, as extraction would leave it, with links followed.

        Raises :class:`UnsafePathError` for a loop of links or one out of the archive, and
        :class:`MemberNotFoundError` for one that leads nowhere.
        """
        return self._names.find(name)

    def open_member(self, member: Member) -> BinaryIO:
        """The logical content of *member*, or of what it is a link to, as a stream of its own.

        Streams are independent of one another, and seekable where :attr:`random_access` is true
        and the member not sparse. Raises as :meth:`find` does, :class:`MalformedError` for what
        has no content, and :class:`UnsupportedError` where the data was not kept.
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
        return stored if member.sparse is None else SparseContent(stored, member)

    def compression_of(self, member: Member) -> Compression:
        """What *member*, or what it is a link to, is compressed with; costs nothing."""
        member = self._names.resolve(member)
        head = None if member.sparse else self._index.heads.get(member.data_offset)
        if head is None:
            with self.open_member(member) as stream:
                head = stream.read(SNIFF_SIZE)
        return detect(head)

    def read(self, name: str | bytes, limit: int) -> bytes:
        """All of the member called *name*, a small one.

        Raises :class:`MemberNotFoundError`, :class:`LimitExceededError` beyond *limit* bytes, and
        :class:`MalformedError` where members of that name differ: two readers would then see two
        different images.
        """
        holders = self._names.holders(name)
        if not holders:
            raise MemberNotFoundError(f"{shown(name)} is not in it", where=self.where)
        content = self._read(holders[0], limit)
        if any(self._read(other, limit) != content for other in holders[1:]):
            raise MalformedError(f"holds two different {shown(name)}", where=self.where)
        return content

    def _read(self, member: Member, limit: int) -> bytes:
        if member.size > limit:
            message = f"{shown(member.name)} is larger than {limit} bytes"
            raise LimitExceededError(message, limit=limit, where=self.where)
        with self.open_member(member) as stream:
            return read_bounded(stream, limit, where=self.where)

    def close(self) -> None:
        """Let go of the file, or of the spool and what is in it."""
        if self._file is not None:
            self._file.close()


def _data(file: BinaryIO, compression: Compression, where: str) -> FileData | ForwardData:
    stored = FileData(file, where)
    if compression is Compression.NONE:
        return stored
    return ForwardData(lambda: decompress(stored.stream(), compression, where=where))
