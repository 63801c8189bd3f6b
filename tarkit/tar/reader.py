"""A tar stream read in one pass, such as a layer: members in order, each with its data."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import LimitExceededError, VerificationError
from tarkit.streams.chunks import Readable
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.allowance import Allowance
from tarkit.tar.listing import Listing
from tarkit.tar.member import Member
from tarkit.tar.names import shown
from tarkit.tar.scan import Scanner
from tarkit.tar.tape import Tape


class TarReader:
    """Iterates over the members of *stream*; :meth:`chunks` reads the current one.

    Unread data is skipped. Iteration stops at the trailer; :meth:`drain` reads on to the end of the
    stream, which is necessary to hash it. ``padded`` is false if the last block of the last member
    is incomplete. Raises the errors of :meth:`~tarkit.tar.scan.Scanner.next`, and those of
    *allowance*, which counts the members.
    """

    def __init__(
        self,
        stream: Readable | Tape,
        *,
        where: str | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._tape = stream if isinstance(stream, Tape) else Tape(stream)
        self._scanner = Scanner(self._tape, where)
        self._where = where
        self._member: Member | None = None
        self._data_end = 0
        self._ended = False
        self._allowance = allowance
        self.padded = True

    def __iter__(self) -> Iterator[Member]:
        advance, next_member = self._tape.advance, self._scanner.next
        while not self._ended:
            end = self._data_end
            try:
                self.padded = advance(end + -end % BLOCK_SIZE, end)
            except VerificationError as error:
                self._place(error)
                raise
            member = self._member = next_member() if self.padded else None
            if member is None:
                self._ended = True
            else:
                self._data_end = member.data_offset + member.stored
                if self._allowance is not None:
                    self._admit(member)
                yield member

    def listing(self) -> Listing:
        """Return the remaining members, without reading their data."""
        listing = Listing()
        for _ in self._append_to(listing):
            pass
        listing.seal()
        return listing

    def fill(self, listing: Listing) -> Iterator[Member]:
        """Append the remaining members to *listing*; yield those with data, as when iterated.

        The others never become objects, which takes twice the time.
        """
        for position in self._append_to(listing):
            if listing.stored(position):
                self._member = listing[position]
                yield self._member
        listing.seal()

    def _append_to(self, listing: Listing) -> Iterator[int]:
        """Append the remaining members to *listing*; yield the position of each in it."""
        advance, append_next = self._tape.advance, self._scanner.append_next
        while not self._ended:
            end = self._data_end
            start = end + -end % BLOCK_SIZE
            try:
                self.padded = advance(start, end)
            except VerificationError as error:
                self._member = listing[len(listing) - 1] if len(listing) else self._member
                self._place(error)
                raise
            next_end = append_next(listing, start) if self.padded else None
            if next_end is None:
                self._member, self._ended = None, True
                return
            self._member, self._data_end = None, next_end
            if self._allowance is not None:
                self._admit(None if listing.ends_plain else listing[len(listing) - 1])
            yield len(listing) - 1

    def go_to(self, member: Member) -> None:
        """Make *member*, known from another pass, the current one without reading its headers.

        It must not lie before the current position. Raises :class:`TruncatedError`.
        """
        try:
            self._tape.advance(member.data_offset, member.data_offset)
        except VerificationError as error:
            self._place(error)
            raise
        self._member, self._data_end = member, member.data_offset + member.stored

    @property
    def trailer(self) -> bool:
        """True if the archive ends with two zero blocks; known after the last member."""
        return self._scanner.trailer

    @property
    def trailing(self) -> int:
        """Bytes after the trailer, from the first one that is not zero; known after :meth:`drain`."""
        return self._scanner.trailing

    def chunks(self) -> Iterator[memoryview]:
        """Yield the stored bytes of the current member as views that copy nothing and stay valid.

        A sparse member yields its segments without the holes.
        """
        return self._chunks_of(self._member)

    def drain(self) -> None:
        """Read the remaining members, then the rest of the stream."""
        for _ in self:
            pass
        self.pass_over()

    def pass_over(self) -> None:
        """Read the rest of the stream without parsing the remaining members."""
        self._ended = True
        self._scanner.finish()

    def _chunks_of(self, member: Member | None) -> Iterator[memoryview]:
        tape = self._tape
        while self._member is member:
            left = self._data_end - tape.position
            if not left:
                return
            try:
                piece = tape.piece(left)
            except VerificationError as error:
                self._place(error)
                raise
            yield piece
        raise ValueError("the reader has moved past this member")

    def _admit(self, member: Member | None) -> None:
        """Count *member*; None stands for a plain member."""
        assert self._allowance is not None
        try:
            if member is None:
                self._allowance.take(1)
            else:
                self._allowance.admit(member)
        except LimitExceededError as error:
            error.where = self._where
            raise

    def _place(self, error: VerificationError) -> None:
        name = shown(self._member.name) if self._member else "the first header"
        error.where = f"{self._where}, inside {name}" if self._where else f"inside {name}"
