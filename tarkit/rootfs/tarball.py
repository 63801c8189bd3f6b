"""An image as one tar: sorted, one entry a path, the same bytes for the same image from anywhere.

Every header is written first, where it belongs; then the data, in the order in which the layers
bring it. So each layer is read twice at most, and nothing is kept beside the output. Where that
cannot be written at any place (a pipe, a compressed file), the tar is put together in a temporary
file first.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tarkit.copying.progress import Progress
from tarkit.errors import SizeMismatchError
from tarkit.image.platform import Platform
from tarkit.rootfs.directory import RootfsResult
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.overlay import Overlay
from tarkit.rootfs.tree import Node, Place, Tree
from tarkit.streams.atomic import atomic_file, os_errors
from tarkit.streams.chunks import chunks_of
from tarkit.streams.codecs import Compression, compress
from tarkit.streams.uncached import write_at
from tarkit.tar import BLOCK_SIZE, padding
from tarkit.tar.encode import encode
from tarkit.tar.member import Member, MemberType
from tarkit.tar.names import shown
from tarkit.tar.spool import new_spool
from tarkit.transports.base import Source

_BUFFER = 1 << 20


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
        layout = _Layout(file.fileno())
        for entry in _entries(files.tree):
            layout.add(entry)
        layout.finish()
        files.contents.deliver(layout.nodes, layout, complete=True, parallel=True)
    return RootfsResult(layout.entries, layout.size)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A path of the tar: its header, and the inode whose data follows."""

    member: Member
    node: Node


def _entries(tree: Tree) -> Iterator[_Entry]:
    """What *tree* is in a tar; the first name of an inode brings its data, the others are links to it."""
    names: dict[int, bytes] = {}
    for path, node in tree.walk():
        if node.children is not None:
            path = path + b"/" if path else b"./"
        first = names.setdefault(id(node), path) if node.links > 1 else path
        yield _Entry(_member(path, node, first), node)


def _member(path: bytes, node: Node, first: bytes) -> Member:
    meta = node.member
    if first is not path:
        return Member(
            path,
            MemberType.HARDLINK,
            meta.mode,
            meta.uid,
            meta.gid,
            mtime_ns=meta.mtime_ns,
            linkname=first,
        )
    return Member(
        path,
        meta.type,
        0o777 if meta.type is MemberType.SYMLINK else meta.mode,
        meta.uid,
        meta.gid,
        meta.size,
        meta.mtime_ns,
        meta.linkname,
        devmajor=meta.devmajor,
        devminor=meta.devminor,
        xattrs=meta.xattrs,
        sparse=meta.sparse,
    )


class _Layout:
    """A tar whose headers are written before its data, for which room is left.

    A sink for that, which any number of threads may call at once.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._headers = bytearray()  # those that were not written yet, and where they belong
        self._start = 0
        self._data: dict[Place, int] = {}
        self.nodes: list[Node] = []
        self.entries = 0
        self.size = 0

    def add(self, entry: _Entry) -> None:
        """Append the header of *entry*, and room for its data."""
        self._headers += encode(entry.member)
        self.entries += 1
        if entry.member.type is MemberType.FILE:
            self.size += entry.member.size
            place = entry.node.place
            if place is not None:
                offset = self._flush()
                self._data[place] = offset
                self.nodes.append(entry.node)
                stored = entry.node.member.stored
                self._start = offset + stored + padding(stored)
        if len(self._headers) > _BUFFER:
            self._flush()

    def finish(self) -> None:
        """End the archive with two empty blocks; what is not written yet reads as zeros."""
        os.ftruncate(self._descriptor, self._flush() + 2 * BLOCK_SIZE)

    def store(self, place: Place, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
        start = offset = self._data[place]
        for chunk in chunks:
            _write_at(self._descriptor, chunk, offset)
            offset += len(chunk)
        if offset - start != member.stored:
            raise SizeMismatchError(member.stored, offset - start, where=shown(member.name))

    def _flush(self) -> int:
        """Write the headers gathered; where they end."""
        if self._headers:
            _write_at(self._descriptor, memoryview(bytes(self._headers)), self._start)
            self._start += len(self._headers)
            self._headers.clear()
        return self._start


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    with os_errors("the tar"):
        while data:
            written = write_at(descriptor, data, offset)
            data, offset = data[written:], offset + written


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of *data* to *file*, which may take less at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
