"""Root filesystems over plain layers in files, for tests."""

from __future__ import annotations

import io
from collections.abc import Sequence

from tarkit.image.digest import Digest
from tarkit.rootfs.chain import ChainLayer, open_chain
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_writer import WrittenLayer, write_layer
from tarkit.tar.reader import TarReader
from tests.rootfs.layers import Item, pack


def plain(data: bytes) -> ChainLayer:
    """Return the layer *data*, a tar in memory."""
    listing = TarReader(io.BytesIO(data)).listing()
    return ChainLayer(Digest.of(data), len(data), listing, lambda: io.BytesIO(data))


def files_of(*layers: Sequence[Item] | bytes) -> FileSystem:
    """Return the root filesystem of *layers*, bottom first."""
    return open_chain([plain(each if isinstance(each, bytes) else pack(each)) for each in layers])


def difference(old: FileSystem, new: FileSystem) -> tuple[WrittenLayer, bytes]:
    """Return the layer that turns *old* into *new*, and its bytes."""
    output = io.BytesIO()
    return write_layer(old, new, output), output.getvalue()
