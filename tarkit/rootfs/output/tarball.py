"""Write an image as one sorted tar with one entry per path: the same image always gives the same bytes.

The offset of an entry depends on the headers of all layers. If the layers are sorted, they are read
side by side and the predicted tar is written at once. The merge then determines how much of the
prediction is right, usually all of it. The rest is written in a second pass: each file at its
offset, with the headers that precede it, in the order of the layers. So each layer is read at most
twice, without temporary copies. If the output is not seekable (a pipe, a compressed file), the tar
is built in a temporary file first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.output.directory import RootfsResult
from tarkit.rootfs.output.limits import require_writable
from tarkit.rootfs.output.predicted_tar import ForwardTar, PlacedTar, TarPlan
from tarkit.rootfs.output.prediction import Prediction
from tarkit.rootfs.output.tar_order import TarOrder
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.rootfs.passes import read_headers
from tarkit.rootfs.streaming_merge import can_stream_merge, read_merged
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
    """Write *source*'s image, with *overlay* on top, as the tar *path*, which appears when complete.

    If *compression* is None, the name of *path* determines it. Raises the errors of reading the
    image and writing to the disk.

    Parameters:

    - *source*: an open source.
    - *path*: the path of the tar; an existing file is replaced.
    - *compression*: none, gzip or zstd.
    - *platform*: the platform to select from an index; by default that of this machine.
    - *overlay*: changes on top of the image.
    - *on_progress*: a listener for events, as in a copy.

    Returns the numbers of entries and bytes.

    >>> from pathlib import Path
    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     tarkit.save_tar(source, Path("hello.tar.gz")).entries
    5
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
    """Write the tar of *source*'s image to *output*, which may be a pipe; see :func:`save_tar`.

    The tar is built in a temporary file, so nothing is written to *output* before the whole image
    has been read and verified.

    >>> import io
    >>> output = io.BytesIO()
    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     tarkit.stream_tar(source, output).size
    191
    """
    with new_spool() as spool:
        result = write_tar(source, spool, platform, overlay, on_progress)
        spool.seek(0)
        for chunk in chunks_of(compress(spool, compression)):
            write_all(output, chunk)
    return result


def compression_of(path: Path) -> Compression:
    """Return the compression for a tar with the name of *path*."""
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
    """Write the tar of *source*'s image into *file*, an empty file on disk; see :func:`save_tar`."""
    if overlay is not None:
        overlay.check()
    layers = ImageLayers.of(source, platform, on_progress)
    prediction = Prediction()
    if not (overlay and overlay.changes) and can_stream_merge(layers):
        with closing(ForwardTar(file.fileno())) as predicted:
            read = read_merged(layers, predicted)
            predicted.finish()
        prediction = predicted.prediction
    else:
        read = read_headers(layers, verified=False)
    with FileSystem.merged(layers, read, overlay=overlay) as files:
        require_writable(files.tree)
        order = TarOrder(files.tree)
        same = prediction.matching(order)
        if not same == len(order) == len(prediction):
            _write_rest(files, order, same, file.fileno())
    return RootfsResult(len(order), order.file_size())


def _write_rest(files: FileSystem, order: TarOrder, same: int, descriptor: int) -> None:
    """Write the entries of *order* as the tar *descriptor*, which has the first *same* already.

    Offsets depend only on earlier entries, so the tar is right up to the first difference.
    """
    rows = (order.rows[at] for at in range(same, len(order)) if order.has_data(at))
    output = PlacedTar(descriptor, TarPlan(order))
    # complete: plain layers without needed data have not been verified yet
    files.contents.deliver(rows, output, complete=True, parallel=True)
    output.finish()
