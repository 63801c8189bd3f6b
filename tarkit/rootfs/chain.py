"""Root filesystems over plain layers that have been read before, as a store of layers keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError, TarkitError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_data import DigestingSource, LayerData
from tarkit.rootfs.layers import Layer, Layers
from tarkit.rootfs.merge import Merger
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.listing import Listing
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class ChainLayer:
    """A layer as a plain tar of *size* bytes: its members, and a function that opens the file.

    ``digest`` returns the SHA-256 digest of the stored data of the entry at a position, if known.
    """

    diff_id: Digest
    size: int
    listing: Listing
    open: Callable[[], BinaryIO]
    digest: Callable[[int], bytes | None] = lambda position: None


def open_chain(
    layers: Sequence[ChainLayer], *, base: FileSystem | None = None, where: str = "layers"
) -> FileSystem:
    """Return the root filesystem of *layers*, bottom first, on top of *base*.

    The tree of *base* is shared, not copied, so the time depends on the new layers alone; *base* may
    be closed and changed independently. Layers are opened when a file is read, and are not verified.
    *where* names the layers in messages. Raises the errors of
    :meth:`tarkit.rootfs.merge.Merger.add`.
    """
    below = base.contents.layers if base is not None else None
    merger = Merger(
        mtime_ns=(source_date_epoch() or 0) * 1_000_000_000,
        tree=base.tree.fork() if base is not None else None,
    )
    first = len(below) if below is not None else 0
    for number, layer in enumerate(layers, first):
        try:
            merger.add(number, layer.listing)
        except TarkitError as error:
            error.where = f"{where}: layer {layer.diff_id}: {error.where or ''}".removesuffix(": ")
            raise
    merger.count_links()
    stacked = Layers(
        _Tars(below, layers, where),
        [*(below.layers if below is not None else ()), *map(_described, layers)],
    )
    return FileSystem(merger.tree, LayerData(stacked, merger.tree.table))


def _described(layer: ChainLayer) -> Layer:
    descriptor = Descriptor(media_types.OCI_LAYER, layer.diff_id, layer.size)
    return Layer(descriptor, layer.diff_id)


class _Tars:
    """Opens *layers*, and those of *below*."""

    def __init__(self, below: Layers | None, layers: Sequence[ChainLayer], where: str) -> None:
        self._below = below
        self._layers = {layer.diff_id: layer for layer in layers}
        self.where = where

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the stored bytes of a layer."""
        layer = self._layers.get(descriptor.digest)
        if layer is not None:
            return layer.open()
        if self._below is None:
            raise BlobNotFoundError(f"no layer {descriptor.digest}", where=self.where)
        return self._below.source.open_blob(descriptor)

    def file_digest(self, diff_id: Digest, position: int) -> bytes | None:
        """Return the SHA-256 digest of the stored data of an entry of a layer, if known."""
        layer = self._layers.get(diff_id)
        if layer is not None:
            return layer.digest(position)
        below = self._below.source if self._below is not None else None
        return below.file_digest(diff_id, position) if isinstance(below, DigestingSource) else None
