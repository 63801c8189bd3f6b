"""Write the tar of a merged tree to a file, either sequentially or at precomputed offsets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from threading import get_ident
from typing import NamedTuple

from tarkit.errors import SizeMismatchError, TarkitError
from tarkit.rootfs.streaming_merge import UnpredictedError
from tarkit.rootfs.tree import DataLocation, Node, Tree
from tarkit.streams.direct import DirectWriter
from tarkit.streams.os_errors import os_errors
from tarkit.streams.uncached import Gathered
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.encode import encode, fits_ustar, stored_size
from tarkit.tar.member import NO_XATTRS, Member, MemberType
from tarkit.tar.names import shown
from tarkit.tar.sparse import block_aligned, in_whole_blocks


class TarEntry(NamedTuple):
    """A *path* in the image and the metadata of its inode.

    *link* is the first path of the inode, or empty if *path* is the first. *place* is the location
    of the data, if the entry has any.
    """

    path: bytes
    meta: Member
    link: bytes
    place: DataLocation | None

    @property
    def size(self) -> int:
        """The file size in bytes; 0 for hard links and for other types."""
        return self.meta.size if self.meta.type is MemberType.FILE and not self.link else 0

    @property
    def member(self) -> Member:
        """The tar member for this entry."""
        path, meta, link, _ = self
        if link:
            return Member(
                path, MemberType.HARDLINK, meta.mode, meta.uid, meta.gid, 0, meta.mtime_ns,
                link, b"", b"", 0, 0, NO_XATTRS, None, 0, 0, 0,
            )  # fmt: skip
        if meta.type is MemberType.DIRECTORY:
            path = path + b"/" if path else b"./"
        return Member(
            path, meta.type, 0o777 if meta.type is MemberType.SYMLINK else meta.mode,
            meta.uid, meta.gid, meta.size, meta.mtime_ns, meta.linkname, b"", b"",
            meta.devmajor, meta.devminor, meta.xattrs,
            meta.sparse and tuple(block_aligned(meta.sparse)[0]), 0, 0, 0,
        )  # fmt: skip


def entries_of(tree: Tree) -> Iterator[TarEntry]:
    """Yield the entries of the tar of *tree*, in order."""
    names: dict[Node, bytes] = {}  # first paths of hard-linked inodes, which hold the data
    for path, node in tree.walk():
        first = names.setdefault(node, path) if node.links > 1 else path
        if first is path:
            yield TarEntry(path, node.member, b"", node.place)
        else:
            yield TarEntry(path, node.member, first, None)


class ForwardTar:
    """Writes a tar sequentially to the file *descriptor*; must be closed.

    Implements :class:`tarkit.rootfs.streaming_merge.EntryObserver`; ``entries`` lists the observed
    entries. Writes are asynchronous: a later call raises their errors, :meth:`finish` at the
    latest.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = DirectWriter(descriptor, partial(os_errors, "the tar"))
        self._position = 0
        self._gap = b""  # padding of the last data, written with the next headers
        self.entries: list[TarEntry] = []

    def observe(self, path: bytes, member: Member, link: bytes, place: DataLocation | None) -> None:
        """Write the headers of an entry."""
        entry = TarEntry(path, member, link, place)
        try:
            header = encode(entry.member)
        except TarkitError:
            raise UnpredictedError from None  # the entry may still turn out to be hidden
        self.entries.append(entry)
        self._write(self._gap + header)
        self._gap = b""

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
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
    """Consecutive entries with the indexes *first* to *end* (exclusive), written at *offset*."""

    offset: int
    first: int
    end: int


class TarPlan:
    """The offsets of all *entries* of a tar.

    ``stretches`` maps each data location to the entry with that data and the entries without data
    before it. ``rest`` contains the entries after the last data.
    """

    def __init__(self, entries: Sequence[TarEntry]) -> None:
        self.entries = entries
        self.stretches: dict[DataLocation, _Stretch] = {}
        offset = first = position = 0
        for end, entry in enumerate(entries, 1):
            position += _header_size(entry)
            if entry.place is not None:
                self.stretches[entry.place] = _Stretch(offset, first, end)
                meta = entry.meta
                stored = stored_size(entry.member) if meta.sparse else meta.stored
                offset = position = position + stored + padding(stored)
                first = end
        self.rest = _Stretch(offset, first, len(entries))


def _header_size(entry: TarEntry) -> int:
    """Return the size of the headers of *entry* in bytes."""
    # Avoid encoding most entries. The slash covers directories, whose names end in one.
    if not entry.link and fits_ustar(entry.meta, entry.path + b"/"):
        return BLOCK_SIZE
    return len(encode(entry.member))


class PlacedTar:
    """Writes a tar with the given *layout* to the file *descriptor*; accepts data in any order.

    Thread-safe: each thread has its own write buffer.
    """

    def __init__(self, descriptor: int, layout: TarPlan) -> None:
        self._descriptor = descriptor
        self._layout = layout
        self._parts: dict[int, Gathered] = {}

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`; also writes the headers that precede the data."""
        part = self._part()
        start = position = self._write_headers(part, self._layout.stretches[place])
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
        end = self._write_headers(rest, self._layout.rest)
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
        for entry in self._layout.entries[stretch.first : stretch.end]:
            header = encode(entry.member)
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
