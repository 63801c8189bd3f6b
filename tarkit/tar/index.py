"""Everything an archive holds and where: one pass over it, after which members are looked up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from tarkit.streams.chunks import Readable
from tarkit.streams.codecs import SNIFF_SIZE
from tarkit.streams.os_errors import os_errors
from tarkit.tar.allowance import Allowance
from tarkit.tar.data import FileData
from tarkit.tar.member import Member
from tarkit.tar.reader import TarReader
from tarkit.tar.tape import Tape

MAX_MEMBERS = 100_000
"""Most members an index holds unless it is told otherwise; images have some dozens."""

KEEP_EACH = 1 << 20
"""Largest member in bytes whose data :func:`index_stream` keeps."""

KEEP_ALL = 32 << 20
"""Most bytes that :func:`index_stream` keeps altogether."""


@dataclass(frozen=True, slots=True)
class TarIndex:
    """All members in the order of the archive, how it ends, and what was kept of its data.

    ``padded`` says whether the last block was whole, ``trailer`` whether the two zero blocks were
    there, ``trailing`` how many bytes follow them from the first one that is not zero; ``kept`` has stored bytes by their ``data_offset``, and
    ``heads`` the first few of those members that were not kept whole.
    """

    members: tuple[Member, ...]
    padded: bool
    trailer: bool
    trailing: int
    kept: Mapping[int, bytes]
    heads: Mapping[int, bytes]


def index_file(file: BinaryIO, *, limit: int = MAX_MEMBERS, where: str | None = None) -> TarIndex:
    """The index of a plain tar *file* with a descriptor: headers are read, data is passed over.

    Reads by offset, so the file's own position stays. Raises what
    :meth:`~tarkit.tar.scan.Scanner.next` raises, and :class:`LimitExceededError` beyond *limit*.
    """
    tape = FileData(file, where or "the archive").tape()
    return _index(tape, limit, where, None)


def index_stream(
    stream: Readable, *, limit: int = MAX_MEMBERS, where: str | None = None
) -> TarIndex:
    """The index of a tar *stream*, read to its very end, with the data of small members kept.

    Raises as :func:`index_file` does.
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
    """The first bytes of *chunks*, as many as tell a compression; a chunk may be a single byte."""
    head = b""
    while len(head) < SNIFF_SIZE and (chunk := next(chunks, None)):
        head += chunk[: SNIFF_SIZE - len(head)]
    return head


class _Kept:
    """Data of small members, and the first bytes of all others.

    The largest go first when it becomes too much, as metadata is small.
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
