"""An image as one tar: sorted, one entry a path, the same bytes for the same image from anywhere.

Where everything goes in it only the headers of all layers tell. Layers that are in order are read
side by side, and the tar is written on the way as it can be foreseen; the merge then tells how much
of that is right, which mostly is all of it. What is not is written in a second pass: each file to its
place, with the headers in front of it, in the order in which the layers bring them. So each layer is
read twice at most, and nothing is kept beside the output. Where that cannot be written at any place
(a pipe, a compressed file), the tar is put together in a temporary file first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from pathlib import Path
from threading import get_ident
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from tarkit.copying.progress import Progress
from tarkit.errors import SizeMismatchError
from tarkit.image.platform import Platform
from tarkit.rootfs.abreast import can_be_read_abreast, read_abreast
from tarkit.rootfs.directory import RootfsResult
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.overlay import Overlay
from tarkit.rootfs.passes import read_headers
from tarkit.rootfs.tree import Node, Place, Tree
from tarkit.streams.atomic import atomic_file, os_errors
from tarkit.streams.chunks import chunks_of, write_all
from tarkit.streams.codecs import Compression, compress
from tarkit.streams.direct import DirectWriter
from tarkit.streams.uncached import Gathered
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.encode import encode, fits_ustar, stored_size
from tarkit.tar.member import NO_XATTRS, Draft, Member, MemberType
from tarkit.tar.names import shown
from tarkit.tar.sparse import block_aligned, in_whole_blocks
from tarkit.tar.spool import new_spool
from tarkit.transports.base import Source


def save_tar(
    source: Source,
    path: Path,
    *,
    compression: Compression | None = None,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """Write *source*'s image, with *overlay* on top, as the tar *path*, which appears when it is whole.

    *compression* is what the name of *path* says where it is ``None``. Raises whatever reading the
    image or writing to the disk may bring.
    """
    compression = compression_of(path) if compression is None else compression
    with atomic_file(path.absolute()) as file:
        if compression is Compression.NONE:
            return write_tar(source, file, platform, overlay, on_progress)
        return stream_tar(
            source,
            file,
            compression=compression,
            platform=platform,
            overlay=overlay,
            on_progress=on_progress,
        )


def stream_tar(
    source: Source,
    output: BinaryIO,
    *,
    compression: Compression = Compression.NONE,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """As :func:`save_tar`, to *output*, which may be a pipe: the tar is made in a temporary file first.

    So nothing is written before the whole image has been read and verified.
    """
    with new_spool() as spool:
        result = write_tar(source, spool, platform, overlay, on_progress)
        spool.seek(0)
        for chunk in chunks_of(compress(spool, compression)):
            write_all(output, chunk)
    return result


def compression_of(path: Path) -> Compression:
    """What a tar of that name is compressed with."""
    match path.suffix.lower():
        case ".gz" | ".tgz":
            return Compression.GZIP
        case ".zst" | ".tzst":
            return Compression.ZSTD
        case _:
            return Compression.NONE


def write_tar(
    source: Source,
    file: BinaryIO,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> RootfsResult:
    """As :func:`save_tar`, into *file*: an empty one on the disk, open for writing."""
    layers = ImageLayers.of(source, platform, on_progress)
    written: list[_Entry] = []
    if not (overlay and overlay.changes) and can_be_read_abreast(layers):
        with _Foreseen(file.fileno(), written) as foreseen:
            read = read_abreast(layers, foreseen)
            foreseen.finish()
    else:
        read = read_headers(layers, verified=False)
    with FileSystem.merged(layers, read, overlay=overlay) as files:
        entries = list(_entries(files.tree))
        if entries != written:
            _write_rest(files, entries, written, file.fileno())
    return RootfsResult(len(entries), sum(entry.size for entry in entries))


def _write_rest(
    files: FileSystem, entries: Sequence[_Entry], written: Sequence[_Entry], descriptor: int
) -> None:
    """Write *entries* as the tar *descriptor*, but for as many as *written*, which is there, begins with."""
    pairs = zip(entries, written, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    layout = _Layout(entries)
    left = {place for place, stretch in layout.stretches.items() if stretch.end > same}
    nodes = [node for node in files.tree.inodes() if node.place in left]
    output = _Output(descriptor, layout)
    files.contents.deliver(nodes, output, complete=True, parallel=True)
    output.finish()


class _Entry(NamedTuple):
    """A *path* of the image and the metadata of its inode.

    *link* is the first name of the inode where this is another one; *place* is where its data is.
    """

    path: bytes
    meta: Member
    link: bytes
    place: Place | None

    @property
    def size(self) -> int:
        """What it counts for among the files."""
        return self.meta.size if self.meta.type is MemberType.FILE and not self.link else 0

    @property
    def member(self) -> Member:
        """What the tar says of it."""
        path, meta, link, _ = self
        if link:
            return Draft(
                path, MemberType.HARDLINK, meta.mode, meta.uid, meta.gid, 0, meta.mtime_ns,
                link, b"", b"", 0, 0, NO_XATTRS, None, 0, 0, 0,
            ).finish()  # fmt: skip
        if meta.type is MemberType.DIRECTORY:
            path = path + b"/" if path else b"./"
        return Draft(
            path, meta.type, 0o777 if meta.type is MemberType.SYMLINK else meta.mode,
            meta.uid, meta.gid, meta.size, meta.mtime_ns, meta.linkname, b"", b"",
            meta.devmajor, meta.devminor, meta.xattrs,
            meta.sparse and tuple(block_aligned(meta.sparse)[0]), 0, 0, 0,
        ).finish()  # fmt: skip


def _entries(tree: Tree) -> Iterator[_Entry]:
    """What the tar of *tree* has, in its order."""
    names: dict[Node, bytes] = {}  # of inodes with several: the first, which has the data
    for path, node in tree.walk():
        first = names.setdefault(node, path) if node.links > 1 else path
        if first is path:
            yield _Entry(path, node.member, b"", node.place)
        else:
            yield _Entry(path, node.member, first, None)


class _Foreseen:
    """The tar from front to back, in the file *descriptor*, as far as it is foreseen; a context manager.

    *entries* is filled with what is in it.
    """

    def __init__(self, descriptor: int, entries: list[_Entry]) -> None:
        self._file = DirectWriter(descriptor, partial(os_errors, "the tar"))
        self._position = 0
        self._entries = entries

    def see(self, path: bytes, member: Member, link: bytes, place: Place | None) -> None:
        """Write the headers of an entry."""
        entry = _Entry(path, member, link, place)
        self._entries.append(entry)
        self._write(encode(entry.member))

    def store(self, place: Place, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
        stored, pieces = _as_written(member, chunks)
        for piece in pieces:
            self._write(piece)
        self._write(bytes(padding(stored)))

    def finish(self) -> None:
        """End the tar with two empty blocks, and return when all of it is written."""
        self._write(bytes(2 * BLOCK_SIZE))
        self._file.flush()

    def _write(self, data: bytes | memoryview) -> None:
        self._file.write(self._position, data)
        self._position += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


class _Stretch(NamedTuple):
    """Entries from number *first* to before *end* that stand together in the tar, from *offset* on."""

    offset: int
    first: int
    end: int


class _Layout:
    """Where everything goes that *entries* are about.

    Each of ``stretches`` ends with the entry whose data is at the place it is listed under, and
    ``rest`` is what has none behind it.
    """

    def __init__(self, entries: Sequence[_Entry]) -> None:
        self.entries = entries
        self.stretches: dict[Place, _Stretch] = {}
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


def _header_size(entry: _Entry) -> int:
    """How many bytes of headers *entry* has."""
    if not entry.link and fits_ustar(entry.meta, entry.path + b"/"):
        return BLOCK_SIZE  # the tar says nothing more of it than the layer did
    return len(encode(entry.member))


class _Output:
    """The tar, laid out as *layout* says, in the file *descriptor*; a sink for data in any order.

    Any number of threads may call it at once: each gathers what it writes.
    """

    def __init__(self, descriptor: int, layout: _Layout) -> None:
        self._descriptor = descriptor
        self._layout = layout
        self._parts: dict[int, Gathered] = {}

    def store(self, place: Place, member: Member, chunks: Iterator[memoryview]) -> None:
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
        for number in range(stretch.first, stretch.end):
            header = encode(self._layout.entries[number].member)
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
