"""The scanner of headers: collects extensions, applies them to members and checks the trailer."""

from __future__ import annotations

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    TarkitError,
    TruncatedError,
    UnsupportedError,
    VerificationError,
)
from tarkit.tar import BLOCK_SIZE, pax
from tarkit.tar.header import ZERO_BLOCK, decode, extension_size, parse, text
from tarkit.tar.listing import Listing
from tarkit.tar.member import Member
from tarkit.tar.tape import Tape
from tarkit.values import dataclass

MAX_EXTENSION = 1 << 20
"""Largest pax header or GNU long name in bytes, and the limit for all global pax headers together."""

# Type flags of headers that extend the next one, or all that follow
_PAX = frozenset(b"xX")  # X is Solaris' older spelling
_GLOBAL = ord("g")
_LONG_NAME = ord("L")  # GNUTYPE_LONGNAME and GNUTYPE_LONGLINK: the data is a name and a NUL
_LONG_LINK = ord("K")
_EXTENSIONS = _PAX | {_GLOBAL, _LONG_NAME, _LONG_LINK}
_OLD_GNU_SPARSE = ord("S")
_NOT_PLAIN = _EXTENSIONS | {_OLD_GNU_SPARSE}

_MAX_TIME = 1 << 63  # nanoseconds that a column can hold

_GLOBAL_FIELDS = frozenset({b"uid", b"gid", b"uname", b"gname", b"mtime"})
_NO_PAX = pax.parse(b"")
_NEVER_GLOBAL = (b"path", b"linkpath", b"size", pax.SPARSE, *pax.XATTRS)


@dataclass(slots=True, eq=False)
class _Extensions:
    """The contents of the extension headers before a member."""

    pax: pax.Extended | None = None
    name: bytes | None = None
    linkname: bytes | None = None


class Scanner:
    """Reads the headers of a *tape*; the caller skips the data of each member.

    ``trailer`` is true once the two zero blocks that end an archive were found. ``trailing`` is the
    number of bytes after them from the first one that is not zero, known after :meth:`finish`.
    """

    def __init__(self, tape: Tape, where: str | None = None) -> None:
        self._tape = tape
        self._where = where
        self._globals: dict[bytes, bytes] = {}
        self._global_size = 0
        self.trailer = False
        self.trailing = 0

    def next(self) -> Member | None:
        """Return the next member, with the tape at its data, or None at the end.

        Raises :class:`MalformedError`, :class:`TruncatedError`, :class:`LimitExceededError` if
        extensions exceed ``MAX_EXTENSION``, and :class:`UnsupportedError` for unknown variants.
        """
        offset = self._tape.position
        try:
            block = self._tape.block()
            # nearly every header: one block that no extension changes
            if block and block[0] and block[156] not in _NOT_PLAIN and not self._globals:
                return parse(block, offset, offset + BLOCK_SIZE)
            return self._extended(block, offset)
        except (VerificationError, UnsupportedError) as error:
            self._place(error, offset)
            raise

    def append_next(self, listing: Listing, offset: int) -> int | None:
        """Append the member at *offset*, the position of the tape, to *listing*.

        Return the end of its data, or None at the end of the archive. Raises the errors of
        :meth:`next`, but creates no object for most members.
        """
        try:
            block = self._tape.block()
            if block and block[0] and block[156] not in _NOT_PLAIN and not self._globals:
                traits, name, size, mtime_ns, is_directory = decode(block)
                if not is_directory and -_MAX_TIME < mtime_ns < _MAX_TIME:
                    listing.append_plain(traits, name, size, mtime_ns, offset + BLOCK_SIZE)
                    return offset + BLOCK_SIZE + size
                member: Member | None = parse(block, offset, offset + BLOCK_SIZE)
            else:
                member = self._extended(block, offset)
        except (VerificationError, UnsupportedError) as error:
            self._place(error, offset)
            raise
        if member is None:
            return None
        listing.append(member)
        return member.data_offset + member.stored

    def _place(self, error: TarkitError, offset: int) -> None:
        place = f"header at byte {offset}"
        error.where = f"{self._where}, {place}" if self._where else place

    def finish(self) -> None:
        """Read on to the very end of the tape."""
        self.trailing = self._tape.drain()

    def _extended(self, block: bytes, offset: int) -> Member | None:
        extensions = _Extensions()
        while block and block != ZERO_BLOCK:
            if block[156] not in _EXTENSIONS:
                return self._member(block, offset, extensions)
            self._extend(extensions, block)
            block = self._tape.block()
        if (extensions.pax, extensions.name, extensions.linkname) != (None, None, None):
            if not block:
                raise TruncatedError("archive ends between the headers of a member")
            raise MalformedError("extended header without a member")
        if block:
            self._end()
        return None

    def _extend(self, extensions: _Extensions, block: bytes) -> None:
        """Read the extension whose header is *block*."""
        flag, size = block[156], extension_size(block)
        if size > MAX_EXTENSION:
            raise LimitExceededError(f"extended header of {size} bytes", limit=MAX_EXTENSION)
        content = self._tape.take(size + -size % BLOCK_SIZE)[:size]
        if flag in _PAX:
            extensions.pax = pax.parse(content)
        elif flag == _LONG_NAME:
            extensions.name = text(content)
        elif flag == _LONG_LINK:
            extensions.linkname = text(content)
        else:
            self._add_globals(content)

    def _add_globals(self, content: bytes) -> None:
        self._global_size += len(content)
        if self._global_size > MAX_EXTENSION:
            raise LimitExceededError(
                f"global pax headers of more than {MAX_EXTENSION} bytes", limit=MAX_EXTENSION
            )
        for record in pax.parse_records(content):
            if record.value and record.key.startswith(_NEVER_GLOBAL):
                key = record.key.decode("utf-8", "backslashreplace")
                raise UnsupportedError(f"global pax header sets {key} for every member")
            if record.key in _GLOBAL_FIELDS:
                self._globals[record.key] = record.value

    def _member(self, block: bytes, offset: int, extensions: _Extensions) -> Member:
        records, values, is_sparse = extensions.pax or _NO_PAX
        if self._globals:
            values = {**self._globals, **values}
        if extensions.linkname is not None:
            values = {**values, b"linkpath": extensions.linkname}
        name = extensions.name or values.get(b"GNU.sparse.name") or values.get(b"path") or None
        member = parse(block, offset, self._tape.position, name and pax.text(name))
        pax.apply(member, values)
        if block[156] == _OLD_GNU_SPARSE:
            from tarkit.tar.sparse import apply_old_gnu

            apply_old_gnu(member, block, self._tape)
        elif is_sparse:
            from tarkit.tar.sparse import apply_pax

            apply_pax(member, records, values, self._tape)
        return member

    def _end(self) -> None:
        block = self._tape.block()
        if block and block != ZERO_BLOCK:
            raise MalformedError("single zero block instead of a header")
        self.trailer = bool(block)
