"""Read the data of inodes, from the image's layers or from an overlay."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from tarkit.errors import MalformedError, SizeMismatchError, TarkitError
from tarkit.image.digest import Digest
from tarkit.rootfs.layer_spool import CompressedLayer, LayerSpools
from tarkit.rootfs.layers import Layers
from tarkit.rootfs.node import Node
from tarkit.rootfs.passes import Sink, deliver
from tarkit.rootfs.sparse_file import SparseFile
from tarkit.rootfs.table import DataLocation, Table
from tarkit.streams.chunks import chunks_of
from tarkit.streams.files import open_regular
from tarkit.streams.uncached import read_at
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.data import ArchiveData, StoredData
from tarkit.tar.member import Member, MemberType

_READ_AHEAD = 2  # chunks, for each stream that stays open


class StagedData(ArchiveData, Protocol):
    """Data that belongs to no layer yet, by offset; *label* names it in messages."""

    label: str

    def identity(self, offset: int) -> tuple[object, int]:
        """Return the identity of the content at *offset*; see :meth:`LayerData.identity`."""
        ...


@runtime_checkable
class DigestingSource(Protocol):
    """A source of layers that knows digests of single files."""

    def file_digest(self, diff_id: Digest, position: int) -> bytes | None:
        """Return the SHA-256 digest of the stored data of an entry of a layer, if known."""
        ...


class LayerData:
    """The data of *layers* and of added files, which count as one more layer on top.

    Reading many files costs about one pass over their layers. Plain layers in a seekable source are
    read in place. A compressed layer is decompressed while its files are read in order; if a read
    goes back, it is copied to an unnamed temporary file in ``TMPDIR``, which is used from then on.
    The copies of an image take up to :data:`~tarkit.rootfs.layer_spool.SPOOL_LIMIT` bytes and each
    up to half of the free space; layers that do not fit are decompressed again. At most
    :data:`~tarkit.rootfs.layer_spool.MOST_STREAMS` layers are decompressed at a time, in up to 20
    MiB of memory each.

    *table* holds the entries of all of them. Staged data counts as another layer on top.
    """

    def __init__(self, layers: Layers, table: Table) -> None:
        self.layers = layers
        self._table = table
        self._added: list[bytes | Path] = []
        self._staged: StagedData | None = None
        self._open: dict[int, _SeekableLayer | CompressedLayer] = {}
        self._spools = LayerSpools()
        self._lock = threading.Lock()
        self._is_fork = False

    def fork(self, table: Table, staged: StagedData) -> LayerData:
        """Return the same data with *staged* in addition, for *table*, a fork.

        It shares the open layers, and closing it leaves them open.
        """
        twin = LayerData(self.layers, table)
        twin._added, twin._staged = self._added.copy(), staged
        twin._open, twin._spools, twin._lock = self._open, self._spools, self._lock
        twin._is_fork = True
        return twin

    def archive(self, layer: int) -> ArchiveData | None:
        """Return the data of layer number *layer*, or None if it is not in a layer."""
        return self._layer(layer) if layer < len(self.layers) else None

    def is_in_place(self, layer: int) -> bool:
        """Return True if layer number *layer* is plain and read in place, without a temporary copy."""
        return layer < len(self.layers) and isinstance(self._layer(layer), _SeekableLayer)

    def identity(self, place: DataLocation) -> tuple[object, int]:
        """Return the layer and the offset of data: equal identities mean equal content."""
        if place.layer < len(self.layers):
            return self.layers.layers[place.layer].diff_id, place.offset
        if place.layer == len(self.layers) or self._staged is None:
            return self._added[place.offset // BLOCK_SIZE], 0
        return self._staged.identity(place.offset)

    def add(self, data: bytes | Path) -> DataLocation:
        """Add *data*, or the path of a local file that contains it, and return its location."""
        self._added.append(data)
        # the "offset" of added data is its index in the list, in blocks as in a layer
        return DataLocation(len(self.layers), (len(self._added) - 1) * BLOCK_SIZE)

    def open(self, node: Node) -> BinaryIO:
        """Open the logical content of the file *node*; the stream is seekable.

        The content is not verified until the layer's end has been read; see :meth:`deliver`. Raises :class:`MalformedError` if *node* is not a file.
        """
        member = node.member
        if node.type is not MemberType.FILE:
            raise MalformedError("not a file")
        stored = self.open_stored(node)
        return stored if member.sparse is None else SparseFile(stored, member)

    def open_stored(self, node: Node) -> BinaryIO:
        """Open the stored data of *node* as :meth:`open` does: without the holes of a sparse file."""
        place = node.place
        return io.BytesIO() if place is None else self._open_place(place, node.member)

    def is_intact(self, node: Node) -> bool:
        """Return True if the data of the file *node* matches its own digest, known from a store.

        Then :meth:`open` returns verified content; otherwise verify the whole layer.
        """
        place = node.place
        plain = self.layers.plain(place.layer) if place and place.layer < len(self.layers) else None
        if plain is None or place is None:
            return False
        expected = plain.file_digest(self._table.position(node.row))
        if expected is None:
            return False
        hasher = hashlib.sha256()
        with StoredData(self._layer(place.layer), node.member, "") as data:
            try:
                for chunk in chunks_of(data):
                    hasher.update(chunk)
            except TarkitError:  # truncated
                return False
        return hasher.digest() == expected

    def known_digest(self, node: Node) -> bytes | None:
        """Return the SHA-256 digest of the content of the file *node* if it is known without reading.

        It comes from derived data, so it can be used to compare files, but not to verify them.
        """
        place, source = node.place, self.layers.source
        if place is None or place.layer >= len(self.layers) or node.member.sparse is not None:
            return None
        diff_id = self.layers.layers[place.layer].diff_id
        if diff_id is None or not isinstance(source, DigestingSource):
            return None
        return source.file_digest(diff_id, self._table.position(node.row))

    def deliver(
        self, rows: Iterable[int], sink: Sink, *, complete: bool = False, parallel: bool = False
    ) -> None:
        """Pass the stored data of inodes *rows* to *sink*, reading each layer that has any of it once.

        See :func:`tarkit.rootfs.passes.deliver` for *complete* and *parallel*.
        """
        members: dict[int, Iterator[Member]] = {}
        beside: list[tuple[int, Iterator[Member]]] = []
        for layer, listed in self._table.by_layer(rows):
            if layer < len(self.layers):
                members[layer] = map(self._table.member, listed)
            else:  # deliver() reads only layers; the rest follows from memory or local files
                beside.append((layer, map(self._table.member, listed)))
        deliver(self.layers, members, sink, complete=complete, parallel=parallel)
        for layer, others in beside:
            for member in others:
                place = DataLocation(layer, member.data_offset)
                with self._open_place(place, member) as stream:
                    sink.store(place, member, _exactly(stream, member.stored))

    def _open_place(self, place: DataLocation, member: Member) -> BinaryIO:
        if place.layer < len(self.layers):
            return StoredData(self._layer(place.layer), member, self.layers.label(place.layer))
        if place.layer == len(self.layers) or self._staged is None:
            return self._open_added(place)
        return StoredData(self._staged, member, self._staged.label)

    def close(self) -> None:
        """Close all open layers."""
        while self._open and not self._is_fork:
            self._open.popitem()[1].close()

    def _open_added(self, place: DataLocation) -> BinaryIO:
        data = self._added[place.offset // BLOCK_SIZE]
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
        self._descriptor: int | None = None
        with suppress(OSError):  # part of an archive, for example
            self._descriptor = stream.fileno()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*, empty only after the end."""
        if self._descriptor is not None:
            return read_at(self._descriptor, size, offset)
        with self._lock:  # files opened from one layer share its position
            self._stream.seek(offset)
            return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()
