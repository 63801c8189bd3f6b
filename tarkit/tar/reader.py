"""One pass over a tar stream, as layers are read: members in order, data on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from tarkit.errors import TruncatedError
from tarkit.streams.chunks import Readable
from tarkit.tar import padding
from tarkit.tar.member import Member
from tarkit.tar.scan import Scanner
from tarkit.tar.sparse import Content
from tarkit.tar.tape import Tape


class TarReader:
    """Iterates over the members of *stream*; :meth:`chunks` and :meth:`open` read the current one.

    Data nobody asked for is passed over. Iteration ends where the archive does; :meth:`drain` goes
    on to the end of the stream, which whoever hashes it must reach.
    Errors are those of :meth:`~tarkit.tar.scan.Scanner.next`.
    """

    def __init__(self, stream: Readable | Tape, *, where: str | None = None) -> None:
        self._tape = stream if isinstance(stream, Tape) else Tape(stream)
        self._scanner = Scanner(self._tape, where)
        self._where = where
        self._member: Member | None = None
        self._left = 0
        self._padding = 0
        self._ended = False

    def __iter__(self) -> Iterator[Member]:
        return self

    def __next__(self) -> Member:
        if self._ended:
            raise StopIteration
        if self._left or self._padding:
            self._skip()
        member = self._member = self._scanner.next()
        if member is None:
            self._ended = True
            raise StopIteration
        if member.stored:
            self._left = member.stored
            self._padding = padding(member.stored)
        return member

    @property
    def trailer(self) -> bool:
        """Whether the two zero blocks that end an archive were there; known at its end."""
        return self._scanner.trailer

    @property
    def trailing(self) -> int:
        """Bytes behind the end, from the first one that is not zero; known after :meth:`drain`."""
        return self._scanner.trailing

    def chunks(self) -> Iterator[memoryview]:
        """The current member's stored bytes, not copied; a view stays valid as long as it is held.

        Of a sparse member these are its segments, one behind the other.
        """
        member = self._member
        while self._left:
            self._check(member)
            yield self._piece(self._left)

    def open(self) -> BinaryIO:
        """A stream of the current member's logical content; usable until the next is asked for."""
        if self._member is None:
            raise ValueError("no member was read yet")
        return Content(_Data(self), self._member)

    def drain(self) -> None:
        """Read the members that are left, and the stream to its very end."""
        for _ in self:
            pass
        self._scanner.finish()

    def _check(self, member: Member | None) -> None:
        if self._member is not member:
            raise ValueError("the reader is past this member")

    def _piece(self, limit: int) -> memoryview:
        try:
            piece = self._tape.piece(min(limit, self._left))
        except TruncatedError:
            raise self._cut() from None
        self._left -= len(piece)
        return piece

    def _skip(self) -> None:
        try:
            self._tape.skip(self._left + self._padding)
        except TruncatedError:
            raise self._cut() from None
        self._left = self._padding = 0

    def _cut(self) -> TruncatedError:
        name = self._member.name.decode("utf-8", "backslashreplace") if self._member else ""
        return TruncatedError(f"the archive ends inside {name}", where=self._where)


class _Data:
    """The stored bytes of the member that is current now, as something to read from."""

    def __init__(self, reader: TarReader) -> None:
        self._reader = reader
        self._member = reader._member

    def read(self, size: int = -1, /) -> bytes:
        """Up to *size* bytes, all that are at hand where it is negative; none at the end only."""
        self._reader._check(self._member)
        left = self._reader._left
        return bytes(self._reader._piece(left if size < 0 else size)) if left else b""
