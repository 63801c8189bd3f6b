"""Read the data of inodes, from the image's layers or from an overlay."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import MalformedError, SizeMismatchError
from tarkit.rootfs.layer_spool import CompressedLayer, LayerSpools
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.passes import Sink, deliver
from tarkit.rootfs.sparse_file import SparseFile
from tarkit.rootfs.tree import DataLocation, Node
from tarkit.streams.chunks import chunks_of
from tarkit.streams.files import open_regular
from tarkit.tar.data import ArchiveData, StoredData
from tarkit.tar.member import MemberType

_READ_AHEAD = 2  # chunks, for each stream that stays open


class LayerData:
    """The data of *layers* and of added files, which count as one more layer on top.

    Reading many files costs about one pass over their layers. Plain layers in a seekable source are
    read in place. A compressed layer is decompressed while its files are read in order; if a read
    goes back, it is copied to an unnamed temporary file in ``TMPDIR``, which is used from then on.
    The copies of an image take up to :data:`~tarkit.rootfs.layer_spool.SPOOL_LIMIT` bytes and each
    up to half of the free space; layers that do not fit are decompressed again. At most
    :data:`~tarkit.rootfs.layer_spool.MOST_STREAMS` layers are decompressed at a time, in up to 20
    MiB of memory each.
    """

    def __init__(self, layers: ImageLayers) -> None:
        self.layers = layers
        self._added: list[bytes | Path] = []
        self._open: dict[int, _SeekableLayer | CompressedLayer] = {}
        self._spools = LayerSpools()
        self._lock = threading.Lock()

    def add(self, data: bytes | Path) -> DataLocation:
        """Add *data*, or the path of a local file that contains it, and return its location."""
        self._added.append(data)
        # the "offset" of added data is its index in the list
        return DataLocation(len(self.layers), len(self._added) - 1)

    def open(self, node: Node) -> BinaryIO:
        """Open the logical content of the file *node*; the stream is seekable.

        The content is not verified until the layer's end has been read; see :meth:`deliver`. Raises :class:`MalformedError` if *node* is not a file.
        """
        member, place = node.member, node.place
        if node.type is not MemberType.FILE:
            raise MalformedError("not a file")
        stored: BinaryIO
        if place is None:
            stored = io.BytesIO()
        elif place.layer == len(self.layers):
            stored = self._open_added(place)
        else:
            stored = StoredData(self._layer(place.layer), member, self.layers.label(place.layer))
        return stored if member.sparse is None else SparseFile(stored, member)

    def deliver(
        self,
        nodes: Iterable[Node],
        sink: Sink,
        *,
        complete: bool = False,
        parallel: bool = False,
    ) -> None:
        """Pass the stored data of *nodes* to *sink*, reading each layer that contains any of it once.

        See :func:`tarkit.rootfs.passes.deliver` for *complete* and *parallel*.
        """
        members = {place: node.member for node in nodes if (place := node.place) is not None}
        # deliver() knows only the image's layers; added data follows from memory or local files
        added = sorted(place for place in members if place.layer == len(self.layers))
        of_overlay = {place: members.pop(place) for place in added}
        deliver(self.layers, members, sink, complete=complete, parallel=parallel)
        for place, member in of_overlay.items():
            with self._open_added(place) as stream:
                sink.store(place, member, _exactly(stream, member.stored))

    def close(self) -> None:
        """Close all open layers."""
        while self._open:
            self._open.popitem()[1].close()

    def _open_added(self, place: DataLocation) -> BinaryIO:
        data = self._added[place.offset]
        return io.BytesIO(data) if isinstance(data, bytes) else open_regular(data)

    def _layer(self, number: int) -> ArchiveData:
        with self._lock:
            layer = self._open.get(number)
            if layer is None:
                plain = self.layers.open_seekable(number)
                if plain is None:
                    layer = CompressedLayer(
                        lambda: self.layers.open(number, _READ_AHEAD), self._spools
                    )
                else:
                    layer = _SeekableLayer(plain)
                self._open[number] = layer
            return layer


def _exactly(stream: BinaryIO, size: int) -> Iterator[memoryview]:
    """Yield the content of *stream*, a local file whose size must still be *size*."""
    left = size
    for chunk in chunks_of(stream):
        left -= len(chunk)
        if left < 0:
            break
        yield memoryview(chunk)
    if left:
        raise SizeMismatchError(size, size - left, where=getattr(stream, "name", None))


class _SeekableLayer:
    """An uncompressed layer in a seekable source."""

    random_access = True

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def read_at(self, offset: int, size: int) -> bytes:
        """See :class:`tarkit.tar.data.ArchiveData`."""
        with self._lock:  # files opened from one layer share its position
            self._stream.seek(offset)
            return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()
