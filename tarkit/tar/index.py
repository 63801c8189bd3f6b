"""Indexes of archives: all members and their offsets, found in one pass."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from tarkit.streams.chunks import Readable
from tarkit.streams.codecs import SNIFF_SIZE
from tarkit.streams.os_errors import os_errors
from tarkit.tar.allowance import Allowance
from tarkit.tar.data import FileData
from tarkit.tar.member import Member
from tarkit.tar.reader import TarReader
from tarkit.tar.tape import Tape
from tarkit.values import dataclass

MAX_MEMBERS = 100_000
"""Default limit on the number of members; images have a few dozen."""

KEEP_EACH = 1 << 20
"""Largest member in bytes that :func:`index_stream` keeps in memory."""

KEEP_ALL = 32 << 20
"""Total size in bytes of the members that :func:`index_stream` keeps in memory."""


@dataclass(frozen=True, slots=True)
class TarIndex:
    """All members in the order of the archive, its end, and the data kept in memory.

    ``padded`` is true if the last block of the last member is complete, ``trailer`` if two zero
    blocks follow it. ``trailing`` is the number of bytes after them, from the first one that is not
    zero. ``kept`` maps ``data_offset`` to the stored bytes of small members, ``heads`` to the first
    few bytes of the others.
    """

    members: tuple[Member, ...]
    padded: bool
    trailer: bool
    trailing: int
    kept: Mapping[int, bytes]
    heads: Mapping[int, bytes]


def index_file(file: BinaryIO, *, limit: int = MAX_MEMBERS, where: str | None = None) -> TarIndex:
    """Index a plain tar *file* by its headers, without reading data or moving its position.

    Raises the errors of :meth:`~tarkit.tar.scan.Scanner.next`, and :class:`LimitExceededError` if
    there are more than *limit* members.
    """
    tape = FileData(file, where or "the archive").tape()
    return _index(tape, limit, where, None)


def index_stream(
    stream: Readable, *, limit: int = MAX_MEMBERS, where: str | None = None
) -> TarIndex:
    """Index a tar *stream*, read to its end, and keep small members.

    Raises the errors of :func:`index_file`.
    """
    return _index(stream, limit, where, _Kept())


def _index(stream: Readable | Tape, limit: int, where: str | None, kept: _Kept | None) -> TarIndex:
    reader = TarReader(stream, where=where, allowance=Allowance(limit, "members"))
    members: list[Member] = []
    with os_errors(where or "the archive"):
        for member in reader:
            members.append(member)
            if kept is not None and member.type.has_data:
                kept.add(member, reader.chunks())
        reader.drain()
    kept = kept or _Kept()
    return TarIndex(
        tuple(members), reader.padded, reader.trailer, reader.trailing, kept.data, kept.heads
    )


def _head(chunks: Iterator[memoryview]) -> bytes:
    """Return enough of *chunks*, which may be single bytes, to detect a compression."""
    head = b""
    while len(head) < SNIFF_SIZE and (chunk := next(chunks, None)):
        head += chunk[: SNIFF_SIZE - len(head)]
    return head


class _Kept:
    """The data of small members, and the first bytes of all others.

    Beyond ``KEEP_ALL`` it drops the largest members, since metadata is small.
    """

    def __init__(self) -> None:
        self.data: dict[int, bytes] = {}
        self.heads: dict[int, bytes] = {}
        self._largest: list[tuple[int, int]] = []
        self._size = 0

    def add(self, member: Member, chunks: Iterator[memoryview]) -> None:
        if member.stored > KEEP_EACH:
            self.heads[member.data_offset] = _head(chunks)
            return
        data = b"".join(chunks)
        self.data[member.data_offset] = data
        self._size += len(data)
        heapq.heappush(self._largest, (-len(data), member.data_offset))
        while self._size > KEEP_ALL:
            size, offset = heapq.heappop(self._largest)
            self._size += size
            self.heads[offset] = self.data.pop(offset)[:SNIFF_SIZE]
