"""Write the tar of a merged tree to a file, either sequentially or at precomputed offsets."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from functools import partial
from threading import get_ident
from typing import NamedTuple

from tarkit.errors import SizeMismatchError, TarkitError
from tarkit.rootfs.output.prediction import Prediction
from tarkit.rootfs.output.tar_order import TarEntry, TarOrder
from tarkit.rootfs.streaming_merge import Origin, UnpredictedError
from tarkit.rootfs.table import DataLocation
from tarkit.streams.direct import DirectWriter
from tarkit.streams.os_errors import os_errors
from tarkit.streams.uncached import Gathered
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.encode import encode
from tarkit.tar.member import Member
from tarkit.tar.names import shown
from tarkit.tar.sparse import in_whole_blocks


class ForwardTar:
    """Writes a tar sequentially to the file *descriptor*; must be closed.

    Implements :class:`tarkit.rootfs.streaming_merge.EntryObserver`; ``prediction`` has the observed
    entries. Writes are asynchronous: a later call raises their errors, :meth:`finish` at the
    latest.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = DirectWriter(descriptor, partial(os_errors, "the tar"))
        self._position = 0
        self._gap = b""  # padding of the last data, written with the next headers
        self.prediction = Prediction()

    def observe(
        self, path: bytes, member: Member, link: bytes, origin: Origin, inode: Origin
    ) -> None:
        """Write the headers of an entry."""
        self._write_headers(TarEntry(path, member, link))
        self.prediction.add(origin, inode)

    def observe_implied(self, path: bytes, member: Member) -> None:
        """Write the headers of a directory that no layer lists."""
        self._write_headers(TarEntry(path, member, b""))
        self.prediction.add_implied(path)

    def _write_headers(self, entry: TarEntry) -> None:
        try:
            header = encode(entry.member)
        except TarkitError:
            raise UnpredictedError from None  # the entry may still turn out to be hidden
        self._write(self._gap + header)
        self._gap = b""

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Store the data of *member*, located at *place*."""
        stored, pieces = _as_written(member, chunks)
        for piece in pieces:
            self._write(piece)
        self._gap = bytes(padding(stored))

    def finish(self) -> None:
        """End the tar with two empty blocks, and wait for all writes to finish."""
        self._write(self._gap + bytes(2 * BLOCK_SIZE))
        self._file.flush()

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(self._position, data)
        self._position += len(data)

    def close(self) -> None:
        """Stop and discard pending writes."""
        self._file.close()


class _Stretch(NamedTuple):
    """The positions *first* to *end* (exclusive) of consecutive entries, written at *offset*."""

    offset: int
    first: int
    end: int


class TarPlan:
    """The offsets of the headers of all entries of a tar."""

    def __init__(self, order: TarOrder) -> None:
        self.order = order
        self._offsets = array("q")
        self._positions = array("i", [-1]) * len(order.table)  # by row, of entries with data
        self._with_data = bytearray()
        offset = 0
        for position, row in enumerate(order.rows):
            self._offsets.append(offset)
            headers, stored = order.sizes(position)
            offset += headers + stored + padding(stored)
            self._with_data.append(stored > 0)
            if stored:
                self._positions[row] = position
        self._offsets.append(offset)

    def stretch(self, place: DataLocation) -> _Stretch:
        """Return the entry with the data at *place* and the entries without data before it."""
        return self._up_to(self._positions[self.order.table.row_of(place)])

    def rest(self) -> _Stretch:
        """Return the entries after the last data."""
        first, end = self._with_data.rfind(1) + 1, len(self.order)
        return _Stretch(self._offsets[first], first, end)

    def _up_to(self, last: int) -> _Stretch:
        first = self._with_data.rfind(1, 0, last) + 1
        return _Stretch(self._offsets[first], first, last + 1)


class PlacedTar:
    """Writes a tar with the given *layout* to the file *descriptor*; accepts data in any order.

    Thread-safe: each thread has its own write buffer.
    """

    def __init__(self, descriptor: int, layout: TarPlan) -> None:
        self._descriptor = descriptor
        self._layout = layout
        self._parts: dict[int, Gathered] = {}

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Store the data of *member*, located at *place*, and the headers that precede it."""
        part = self._part()
        start = position = self._write_headers(part, self._layout.stretch(place))
        stored, pieces = _as_written(member, chunks)
        for piece in pieces:
            part.write(position, piece)
            position += len(piece)
        if position - start != stored:
            raise SizeMismatchError(stored, position - start, where=shown(member.name))
        part.write(position, bytes(padding(stored)))

    def finish(self) -> None:
        """Write the remaining headers and two empty blocks, which end the tar."""
        rest = self._part()
        end = self._write_headers(rest, self._layout.rest())
        rest.write(end, bytes(2 * BLOCK_SIZE))
        for part in self._parts.values():
            part.flush()
        with os_errors("the tar"):
            # the file may contain a longer, mispredicted tar
            os.ftruncate(self._descriptor, end + 2 * BLOCK_SIZE)

    def _part(self) -> Gathered:
        thread = get_ident()
        if thread not in self._parts:
            self._parts[thread] = Gathered(self._descriptor, partial(os_errors, "the tar"))
        return self._parts[thread]

    def _write_headers(self, part: Gathered, stretch: _Stretch) -> int:
        """Write the headers of *stretch* and return the offset after them."""
        position = stretch.offset
        for index in range(stretch.first, stretch.end):
            header = self._layout.order.header(index)
            part.write(position, header)
            position += len(header)
        return position


def _as_written(
    member: Member, chunks: Iterator[memoryview]
) -> tuple[int, Iterator[bytes | memoryview]]:
    """Return the size and chunks of *member*'s data in the tar; align sparse segments to blocks."""
    if not member.sparse:
        return member.stored, chunks
    segments, pieces = in_whole_blocks(chunks, member.sparse)
    return sum(segment.length for segment in segments), pieces
