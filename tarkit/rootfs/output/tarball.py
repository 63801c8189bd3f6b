"""An image as one tar: sorted, one entry a path, the same bytes for the same image from anywhere.

Where everything goes in it only the headers of all layers tell. Layers that are in order are read
side by side, and the tar is written on the way as it can be foreseen; the merge then tells how much
of that is right, which mostly is all of it. What is not is written in a second pass: each file to its
place, with the headers in front of it, in the order in which the layers bring them. So each layer is
read twice at most, and nothing is kept beside the output. Where that cannot be written at any place
(a pipe, a compressed file), the tar is put together in a temporary file first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import BinaryIO

from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.output.directory import RootfsResult
from tarkit.rootfs.output.limits import require_writable
from tarkit.rootfs.output.predicted_tar import ForwardTar, PlacedTar, TarEntry, TarPlan, entries_of
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.rootfs.passes import read_headers
from tarkit.rootfs.streaming_merge import can_be_read_abreast, read_abreast
from tarkit.streams.atomic import atomic_file
from tarkit.streams.chunks import chunks_of, write_all
from tarkit.streams.codecs import Compression, compress
from tarkit.tar.spool import new_spool


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
    written: list[TarEntry] = []
    if not (overlay and overlay.changes) and can_be_read_abreast(layers):
        with closing(ForwardTar(file.fileno())) as foreseen:
            read = read_abreast(layers, foreseen)
            foreseen.finish()
        written = foreseen.entries
    else:
        read = read_headers(layers, verified=False)
    with FileSystem.merged(layers, read, overlay=overlay) as files:
        require_writable(files.tree)
        pairs = zip_longest(entries_of(files.tree), written)
        entries = written
        if not all(entry == seen for entry, seen in pairs):
            entries = list(entries_of(files.tree))
            _write_rest(files, entries, written, file.fileno())
    return RootfsResult(len(entries), sum(entry.size for entry in entries))


def _write_rest(
    files: FileSystem, entries: Sequence[TarEntry], written: Sequence[TarEntry], descriptor: int
) -> None:
    """Write *entries* as the tar *descriptor*, but for as many as *written*, which is there, begins with."""
    pairs = zip(entries, written, strict=False)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    layout = TarPlan(entries)
    left = {place for place, stretch in layout.stretches.items() if stretch.end > same}
    nodes = [node for node in files.tree.inodes() if node.place in left]
    output = PlacedTar(descriptor, layout)
    files.contents.deliver(nodes, output, complete=True, parallel=True)
    output.finish()
