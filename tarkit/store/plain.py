"""Layers of images in their uncompressed, indexed form, made on first use.

This is an optimisation: if it fails for any reason, the reader decompresses the blob itself, and
reports its defects.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import BinaryIO

from tarkit.errors import CancelledError, PathNotFoundError, TarkitError, VerificationError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.store.layers import StoredLayer
from tarkit.store.store import Store
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.listing import Listing


class PlainLayers:
    """The layers that *store* has uncompressed, or can make from its blobs if it is writable."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._failed: set[Digest] = set()
        self._locks: dict[Digest, Lock] = {}

    def get(self, layer: Descriptor, diff_id: Digest) -> StoredPlainLayer | None:
        """Return *layer*, or None if its blob is missing or broken, or the store is read-only."""
        with self._locks.setdefault(diff_id, Lock()):
            if diff_id in self._failed:
                return None
            try:
                return StoredPlainLayer(self._store, layer.digest, self._find(layer, diff_id))
            except CancelledError:
                raise
            except TarkitError:
                self._failed.add(diff_id)
                return None

    def _find(self, layer: Descriptor, diff_id: Digest) -> StoredLayer:
        # without a lease or the database: if the tar disappears, it is made again
        found = self._store.layers.present(diff_id)
        if found is None:
            return self._store.layers.extract(layer.digest, diff_id)
        self._store.layers.touch(diff_id)
        return found


class StoredPlainLayer:
    """One layer in *store*; see :class:`tarkit.protocols.PlainLayer`."""

    def __init__(self, store: Store, blob: Digest, layer: StoredLayer) -> None:
        self._store = store
        self._blob = blob
        self._layer = layer
        self.size = layer.size

    def listing(self) -> Listing:
        """Return the entries, without reading the tar if possible."""
        try:
            return self._store.layers.listing(self._layer)
        except PathNotFoundError:  # pruned since it was found
            self._store.layers.extract(self._blob, self._layer.diff_id)
            return self._store.layers.listing(self._layer)

    def open(self) -> BinaryIO:
        """Open the tar for random access, unverified."""
        try:
            return self._store.layers.open(self._layer.key)
        except PathNotFoundError:  # pruned since it was found
            self._store.layers.extract(self._blob, self._layer.diff_id)
            return self._store.layers.open(self._layer.key)

    def stream(self) -> BinaryIO:
        """Open the tar for reading from its start; the read that reaches the end verifies it."""
        return _Checked(self._store, self._layer, self.open())

    def file_digest(self, position: int) -> bytes | None:
        """Return the SHA-256 digest of the stored data of the entry at *position*, if known."""
        return self._store.layers.file_digest(self._layer, position)


class _Checked(VerifyingReader):
    """Reads and verifies a plain tar; removes it from the store if it is corrupt and derived."""

    def __init__(self, store: Store, layer: StoredLayer, stream: BinaryIO) -> None:
        where = f"{store.root}: layer {layer.key}"
        super().__init__(stream, digest=layer.diff_id, where=where)
        self._store = store
        self._layer = layer

    def _chunk(self) -> bytes:
        try:
            return super()._chunk()
        except VerificationError as error:
            with suppress(TarkitError):
                if self._layer.derived:
                    self._store.layers.remove(self._layer.key)
                    error.hint = "this copy was removed; try again"
            raise
