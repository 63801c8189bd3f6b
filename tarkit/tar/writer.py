"""Write deterministic tar archives: the same members produce the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, cast

from tarkit.errors import SizeMismatchError, TruncatedError, UnsupportedError
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import Readable, chunks_of, write_all
from tarkit.streams.closeable import Publishing
from tarkit.streams.os_errors import os_errors
from tarkit.streams.ranges import move_range
from tarkit.streams.uncached import read_at
from tarkit.tar import BLOCK_SIZE, padding, sparse
from tarkit.tar.encode import encode, stored_size, with_size
from tarkit.tar.member import Member
from tarkit.tar.names import shown
from tarkit.values import replace

Data = bytes | Readable | Iterable[bytes | memoryview]
"""The stored bytes of a member: whole, as a stream, or in pieces."""


class TarWriter(Publishing):
    """Writes members to *file*, which stays open.

    As a context manager, it ends the archive unless the block raises. The archive ends with two
    zero blocks and is not padded to 10 KiB, as only tape drives need that. If writing a member
    fails, it is removed if *file* is seekable; otherwise, later calls raise :class:`ValueError`.
    """

    def __init__(self, file: BinaryIO, *, where: str | None = None) -> None:
        self._file = file
        self._where = where
        self._seekable = file.seekable()
        self._offset = file.tell() if self._seekable else 0
        self._refusal: str | None = None
        self._closed = False

    def add(self, member: Member, data: Data = b"") -> Member:
        """Write *member* and its *data*: ``size`` bytes, or only the segments of a sparse member.

        Return the member as a reader of the archive would, with its offsets.

        Segments are extended to whole blocks, as GNU tar expects. Raises :class:`SizeMismatchError`
        if there is too much or too little data, :class:`NoSpaceError` if no space is left,
        and the errors of :func:`~tarkit.tar.encode.encode`.
        """
        self._check()
        if isinstance(data, bytes) and member.sparse is None and len(data) == stored_size(member):
            return self._add_bytes(member, data)
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
        return _placed(member, start, start + len(header))

    def _add_bytes(self, member: Member, data: bytes) -> Member:
        """Write *member* with all of its *data* at once, which takes half the time of several writes."""
        header = encode(member)
        start = self._offset
        try:
            self._write(b"".join((header, data, bytes(padding(len(data))))))
        except BaseException:
            self._rewind(start)
            raise
        return _placed(member, start, start + len(header))

    def begin(self, member: Member) -> PendingMember:
        """Begin *member*, a file of unknown size; *file* must be seekable.

        The size is written into the header when the member ends: in octal, or in GNU base-256 from
        8 GiB. All image readers support base-256, which avoids reserving a pax header for every
        member.
        Raises :class:`UnsupportedError` if *file* is not seekable.
        """
        self._check()
        if not self._seekable:
            raise UnsupportedError(
                "a member of unknown size needs a seekable output", where=self._where
            )
        return PendingMember(self, member)

    def add_from(self, member: Member, source: int, start: int) -> int:
        """Write *member* with the data at *start* of the file descriptor *source*.

        The result and the errors are those of :meth:`add_range`.
        """
        begin = self._offset
        try:
            self._write(encode(member))
            moved = self.add_range(source, start, member.size)
            self._write(bytes(padding(member.size)))
        except BaseException:
            self._rewind(begin)
            raise
        return moved

    def add_range(self, source: int, start: int, size: int) -> int:
        """Append *size* bytes at *start* of the file descriptor *source*, such as whole members.

        Returns the number of bytes that the filesystem moved; the others were read and written.
        Raises :class:`TruncatedError` if *source* is shorter.
        """
        self._check()
        with os_errors(self._where or "the archive"):
            self._file.flush()
            moved = move_range(source, start, size, self._file.fileno(), self._offset)
            self._offset += moved
            self._file.seek(self._offset)
        done = moved
        while done < size:
            data = read_at(source, min(CHUNK_SIZE, size - done), start + done)
            if not data:
                raise TruncatedError("the archive was truncated while it was read")
            self._write(data)
            done += len(data)
        return moved

    @property
    def offset(self) -> int:
        """The size of the archive so far, in bytes."""
        return self._offset

    def truncate(self, offset: int) -> None:
        """Remove all members from *offset* on; *file* must be seekable."""
        self._rewind(offset)
        self._check()

    def close(self) -> None:
        """Write the trailer."""
        self._check()
        self._write(bytes(2 * BLOCK_SIZE))
        self._closed = True
        self._refusal = "the archive is closed"

    def _end(self, succeeded: bool) -> None:
        if succeeded and not self._closed:
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
        self._refusal = "the archive ends inside a member"
        if self._seekable:
            # If this fails too, the archive stays broken, and later calls raise.
            with contextlib.suppress(OSError):
                self._file.seek(offset)
                self._file.truncate()
                self._offset = offset
                self._refusal = None


class PendingMember(Publishing):
    """A member being written: :meth:`write` its data, then :meth:`end` or :meth:`abort`.

    As a context manager, it ends the member, or aborts it if the block raises. The writer accepts
    no other member until then.
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
        """Append *data*; return its size in bytes."""
        with self._aborting():
            self._writer._write(data)
        self._size += len(data)
        return len(data)

    def end(self, name: bytes | None = None) -> None:
        """End the member: write its size and, if given, its new *name* into the header.

        Raises :class:`ValueError` if the new name needs a longer header than the old one.
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
        """Remove the member from the archive, unless it has already ended."""
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

    def _end(self, succeeded: bool) -> None:
        if not succeeded:
            self.abort()
        elif self._open:
            self.end()


def _placed(member: Member, start: int, data_offset: int) -> Member:
    """Return *member* with its offsets; ``replace`` would take as long as encoding the header."""
    return Member(
        member.name, member.type, member.mode, member.uid, member.gid, member.size,
        member.mtime_ns, member.linkname, member.uname, member.gname, member.devmajor,
        member.devminor, member.xattrs, member.sparse, start, data_offset, stored_size(member),
    )  # fmt: skip


def _pieces(data: Data) -> Iterable[bytes | memoryview]:
    if isinstance(data, bytes):
        return (data,)
    if hasattr(data, "read"):  # iterating over a file would yield lines
        return chunks_of(cast(Readable, data))
    return data


def _exactly(
    size: int, pieces: Iterable[bytes | memoryview], member: Member
) -> Iterator[bytes | memoryview]:
    """Yield *pieces* up to *size* bytes.

    Raises :class:`SizeMismatchError` if their total size differs.
    """
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > size:
            break
        yield piece
    if total != size:
        raise SizeMismatchError(size, total, where=shown(member.name))
