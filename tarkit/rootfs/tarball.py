"""An image as one tar: sorted, one entry a path, the same bytes for the same image from anywhere.

Headers alone say where everything goes. Then each file is written there, with the headers in front
of it, in the order in which the layers bring them. So each layer is read twice at most, and nothing
is kept beside the output. Where that cannot be written at any place (a pipe, a compressed file),
the tar is put together in a temporary file first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import BinaryIO, NamedTuple

from tarkit.copying.progress import Progress
from tarkit.errors import SizeMismatchError
from tarkit.image.platform import Platform
from tarkit.rootfs.directory import RootfsResult
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.overlay import Overlay
from tarkit.rootfs.tree import Node, Place, Tree
from tarkit.streams.atomic import atomic_file, os_errors
from tarkit.streams.chunks import chunks_of, write_all
from tarkit.streams.codecs import Compression, compress
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
    with FileSystem.of(
        source, platform=platform, overlay=overlay, on_progress=on_progress
    ) as files:
        layout = _Layout(files.tree)
        output = _Output(file.fileno(), layout)
        files.contents.deliver(layout.nodes, output, complete=True, parallel=True)
        output.finish()
    return RootfsResult(len(layout.nodes), layout.size)


class _Stretch(NamedTuple):
    """Entries from number *first* to before *end* that stand together in the tar, from *offset* on."""

    offset: int
    first: int
    end: int


class _Layout:
    """Where everything in *tree* goes: ``nodes`` are the inodes of the entries, in the tar's order.

    Each of ``stretches`` ends with the entry whose data is at the place it is listed under, and
    ``rest`` is what has none behind it. ``size`` is that of all files together.
    """

    def __init__(self, tree: Tree) -> None:
        self.nodes: list[Node] = []
        self.stretches: dict[Place, _Stretch] = {}
        self.size = 0
        self._paths: list[bytes] = []
        self._names: dict[Node, bytes] = {}  # of inodes with several: the first, which has the data
        offset = first = position = 0
        for end, (path, node) in enumerate(tree.walk(), 1):
            is_first = self._add(path, node)
            position += self._header_size(end - 1)
            meta = node.member
            if meta.type is MemberType.FILE and is_first:
                self.size += meta.size
                if place := node.place:
                    self.stretches[place] = _Stretch(offset, first, end)
                    stored = stored_size(self.member(end - 1)) if meta.sparse else meta.stored
                    offset = position = position + stored + padding(stored)
                    first = end
        self.rest = _Stretch(offset, first, len(self.nodes))

    def _add(self, path: bytes, node: Node) -> bool:
        """Add an entry; whether it is its inode's first."""
        if node.children is not None:
            path = path + b"/" if path else b"./"
        self._paths.append(path)
        self.nodes.append(node)
        return node.links == 1 or self._names.setdefault(node, path) is path

    def _header_size(self, number: int) -> int:
        """How many bytes of headers entry *number* has."""
        node = self.nodes[number]
        if node.links == 1 and fits_ustar(node.member, self._paths[number]):
            return BLOCK_SIZE  # the tar says nothing more of it than the layer did
        return len(encode(self.member(number)))

    def member(self, number: int) -> Member:
        """Entry *number*; all names of an inode but the first are links to that."""
        path, node = self._paths[number], self.nodes[number]
        meta = node.member
        first = self._names.get(node, path) if node.links > 1 else path
        if first is not path:
            return Draft(
                path, MemberType.HARDLINK, meta.mode, meta.uid, meta.gid, 0, meta.mtime_ns,
                first, b"", b"", 0, 0, NO_XATTRS, None, 0, 0, 0,
            ).finish()  # fmt: skip
        return Draft(
            path, meta.type, 0o777 if meta.type is MemberType.SYMLINK else meta.mode,
            meta.uid, meta.gid, meta.size, meta.mtime_ns, meta.linkname, b"", b"",
            meta.devmajor, meta.devminor, meta.xattrs,
            meta.sparse and tuple(block_aligned(meta.sparse)[0]), 0, 0, 0,
        ).finish()  # fmt: skip


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

    def _part(self) -> Gathered:
        thread = get_ident()
        if thread not in self._parts:
            self._parts[thread] = Gathered(self._descriptor, partial(os_errors, "the tar"))
        return self._parts[thread]

    def _write_headers(self, part: Gathered, stretch: _Stretch) -> int:
        """Write the headers of *stretch*; where they end."""
        position = stretch.offset
        for number in range(stretch.first, stretch.end):
            header = encode(self._layout.member(number))
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
