"""Tar archives written so that the same members give the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self, cast

from tarkit.errors import SizeMismatchError, UnsupportedError
from tarkit.streams.chunks import Readable, chunks_of, write_all
from tarkit.streams.os_errors import os_errors
from tarkit.tar import BLOCK_SIZE, padding, sparse
from tarkit.tar.encode import encode, stored_size, with_size
from tarkit.tar.member import Member
from tarkit.tar.names import shown

Data = bytes | Readable | Iterable[bytes | memoryview]
"""A member's stored bytes: at once, as a stream, or in pieces."""


class TarWriter:
    """Writes members to *file*, which stays open; a context manager that closes on success only.

    Nothing but the members decides on the bytes. The archive ends with two zero blocks and is not
    filled up to 10 KiB, which only tape drives ask for. What fails half-way is taken back where
    *file* can seek; where it cannot, the archive is of no use and the writer refuses to go on.
    """

    def __init__(self, file: BinaryIO, *, where: str | None = None) -> None:
        self._file = file
        self._where = where
        self._seekable = file.seekable()
        self._offset = file.tell() if self._seekable else 0
        self._refusal: str | None = None
        self._closed = False

    def add(self, member: Member, data: Data = b"") -> None:
        """Write *member* and its *data*: ``size`` bytes, or those of its segments where it is sparse.

        Segments are stored in whole blocks, with part of the holes between them, as GNU tar expects.
        Raises :class:`SizeMismatchError` for more or less data, :class:`NoSpaceError`, and as
        :func:`~tarkit.tar.encode.encode` does.
        """
        self._check()
        pieces = _exactly(stored_size(member), _pieces(data), member)
        if member.sparse is not None:
            checked = sparse.checked(member.sparse, member.size, stored_size(member))
            segments, pieces = sparse.in_whole_blocks(pieces, checked)
            member = replace(member, sparse=segments)
        header = encode(member)
        start = self._offset
        try:
            self._write(header)
            for piece in pieces:
                self._write(piece)
            self._write(bytes(padding(stored_size(member))))
        except BaseException:
            self._rewind(start)
            raise

    def begin(self, member: Member) -> PendingMember:
        """Start *member*, a file whose size is not known yet; *file* must be able to seek.

        The size is written into its header at the end: as octal digits, or in GNU's base-256 from
        8 GiB on, which all readers of images know and which saves every smaller one a pax header.
        """
        self._check()
        if not self._seekable:
            raise UnsupportedError(
                "a member of unknown size needs an output that can seek", where=self._where
            )
        return PendingMember(self, member)

    def close(self) -> None:
        """End the archive; without this it has no trailer."""
        self._check()
        self._write(bytes(2 * BLOCK_SIZE))
        self._closed = True
        self._refusal = "the archive is closed"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and not self._closed:
            self.close()

    def _check(self) -> None:
        if self._refusal is not None:
            raise ValueError(self._refusal)

    def _write(self, data: bytes | memoryview) -> None:
        with os_errors(self._where or "the archive"):
            write_all(self._file, data)
        self._offset += len(data)

    def _write_at(self, offset: int, data: bytes) -> None:
        with os_errors(self._where or "the archive"):
            self._file.seek(offset)
            write_all(self._file, data)
            self._file.seek(self._offset)

    def _rewind(self, offset: int) -> None:
        self._refusal = "the archive broke off inside a member"
        if self._seekable:
            # where even this fails, the disk is full and the file is of no use to anyone
            with contextlib.suppress(OSError):
                self._file.seek(offset)
                self._file.truncate()
                self._offset = offset
                self._refusal = None


class PendingMember:
    """A member being written: :meth:`write` its data, then :meth:`end` or :meth:`abort`.

    As a context manager it ends with the block, and aborts where the block fails; until then the
    writer takes no other member.
    """

    def __init__(self, writer: TarWriter, member: Member) -> None:
        self._writer = writer
        self._member = replace(member, size=0, sparse=None)
        self._start = writer._offset
        self._open = True
        self._size = 0
        self._header = encode(self._member)
        with self._aborting():
            writer._write(self._header)
        writer._refusal = "a member is still being written"

    def write(self, data: bytes | memoryview) -> int:
        """Append *data*; the number of bytes in it."""
        with self._aborting():
            self._writer._write(data)
        self._size += len(data)
        return len(data)

    def end(self, name: bytes | None = None) -> None:
        """Write the size, and *name* where it came to be known only now, into the header.

        The new name must fit a header as long as the old one's.
        """
        member = self._member if name is None else replace(self._member, name=name)
        with self._aborting():
            header = encode(member)
            if len(header) != len(self._header):
                raise ValueError("the name needs a longer header than was reserved")
            self._writer._write(bytes(padding(self._size)))
            block = with_size(header[-BLOCK_SIZE:], self._size)
            self._writer._write_at(self._start, header[:-BLOCK_SIZE] + block)
        self._open = False
        self._writer._refusal = None

    def abort(self) -> None:
        """Take back everything written since the member began; nothing where it has ended."""
        if self._open:
            self._open = False
            self._writer._rewind(self._start)

    @contextlib.contextmanager
    def _aborting(self) -> Iterator[None]:
        if not self._open:
            raise ValueError("the member has ended")
        try:
            yield
        except BaseException:
            self.abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abort()
        elif self._open:
            self.end()


def _pieces(data: Data) -> Iterable[bytes | memoryview]:
    if isinstance(data, bytes):
        return (data,)
    if hasattr(data, "read"):  # a file can be iterated over too, but goes line by line
        return chunks_of(cast(Readable, data))
    return data


def _exactly(
    size: int, pieces: Iterable[bytes | memoryview], member: Member
) -> Iterator[bytes | memoryview]:
    """*pieces*, once they are found to hold *size* bytes: no more is ever handed on, no less at the end."""
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > size:
            break
        yield piece
    if total != size:
        raise SizeMismatchError(size, total, where=shown(member.name))
