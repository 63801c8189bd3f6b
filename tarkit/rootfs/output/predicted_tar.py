"""A tar of a merged tree on its way into a file: from front to back, or each piece to its place."""

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
    """A *path* of the image and the metadata of its inode.

    *link* is the first name of the inode where this is another one; *place* is where its data is.
    """

    path: bytes
    meta: Member
    link: bytes
    place: DataLocation | None

    @property
    def size(self) -> int:
        """What it counts for among the files."""
        return self.meta.size if self.meta.type is MemberType.FILE and not self.link else 0

    @property
    def member(self) -> Member:
        """What the tar says of it."""
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
    """What the tar of *tree* has, in its order."""
    names: dict[Node, bytes] = {}  # of inodes with several: the first, which has the data
    for path, node in tree.walk():
        first = names.setdefault(node, path) if node.links > 1 else path
        if first is path:
            yield TarEntry(path, node.member, b"", node.place)
        else:
            yield TarEntry(path, node.member, first, None)


class ForwardTar:
    """A tar written from front to back into the file *descriptor*; to be closed.

    A witness of layers (:class:`tarkit.rootfs.streaming_merge.Witness`); ``entries`` are what it saw. What
    fails is raised by a later call, :meth:`finish` at the latest.
    """

    def __init__(self, descriptor: int) -> None:
        self._file = DirectWriter(descriptor, partial(os_errors, "the tar"))
        self._position = 0
        self._gap = b""  # what the last data lacks of a whole block
        self.entries: list[TarEntry] = []

    def see(self, path: bytes, member: Member, link: bytes, place: DataLocation | None) -> None:
        """Write the headers of an entry."""
        entry = TarEntry(path, member, link, place)
        try:
            header = encode(entry.member)
        except TarkitError:
            raise UnpredictedError from None  # perhaps it is not there at all
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
        """End the tar with two empty blocks, and return when all of it is written."""
        self._write(self._gap + bytes(2 * BLOCK_SIZE))
        self._file.flush()

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(self._position, data)
        self._position += len(data)

    def close(self) -> None:
        """Stop, whatever is still to be written."""
        self._file.close()


class _Stretch(NamedTuple):
    """Entries from number *first* to before *end* that stand together in the tar, from *offset* on."""

    offset: int
    first: int
    end: int


class TarPlan:
    """Where everything goes that *entries*, those of a whole tar, are about.

    Each of ``stretches`` ends with the entry whose data is at the place it is listed under, and
    ``rest`` is what has none behind it.
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
    """How many bytes of headers *entry* has."""
    if not entry.link and fits_ustar(entry.meta, entry.path + b"/"):  # as a directory has it
        return BLOCK_SIZE  # the tar says nothing more of it than the layer did
    return len(encode(entry.member))


class PlacedTar:
    """A tar laid out as *layout* says, in the file *descriptor*; a sink for data in any order.

    Any number of threads may call it at once: each gathers what it writes.
    """

    def __init__(self, descriptor: int, layout: TarPlan) -> None:
        self._descriptor = descriptor
        self._layout = layout
        self._parts: dict[int, Gathered] = {}

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`; writes the headers before the data as well."""
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
        """Write what is left, and two empty blocks for an end."""
        rest = self._part()
        end = self._write_headers(rest, self._layout.rest)
        rest.write(end, bytes(2 * BLOCK_SIZE))
        for part in self._parts.values():
            part.flush()
        with os_errors("the tar"):
            os.ftruncate(self._descriptor, end + 2 * BLOCK_SIZE)  # more may have been foreseen

    def _part(self) -> Gathered:
        thread = get_ident()
        if thread not in self._parts:
            self._parts[thread] = Gathered(self._descriptor, partial(os_errors, "the tar"))
        return self._parts[thread]

    def _write_headers(self, part: Gathered, stretch: _Stretch) -> int:
        """Write the headers of *stretch*; where they end."""
        position = stretch.offset
        for entry in self._layout.entries[stretch.first : stretch.end]:
            header = encode(entry.member)
            part.write(position, header)
            position += len(header)
        return position


def _as_written(
    member: Member, chunks: Iterator[memoryview]
) -> tuple[int, Iterator[bytes | memoryview]]:
    """How many bytes the tar has of *member*'s data *chunks*, and which: a sparse one's in whole blocks."""
    if not member.sparse:
        return member.stored, chunks
    segments, pieces = in_whole_blocks(chunks, member.sparse)
    return sum(segment.length for segment in segments), pieces
