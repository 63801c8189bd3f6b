"""A ref as an image: a manifest and a config for its layers."""

from __future__ import annotations

import io
import json
from typing import BinaryIO

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.chains import Link, layer_chain
from tarkit.cache.facts import digest_of
from tarkit.cache.options import DescHandlers
from tarkit.cache.providers import descriptor_of
from tarkit.errors import BlobNotFoundError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.protocols import PlainLayer
from tarkit.store.plain import StoredPlainLayer
from tarkit.store.record import Record


class RefImage:
    """The image of *record*: its layers in stored form, and a config without settings."""

    def __init__(self, cache: Cache, record: Record, handlers: DescHandlers) -> None:
        self._cache = cache
        self._handlers = handlers
        self.where = f"store:@{record.id}"
        self.names: tuple[str, ...] = ()
        self._records: dict[Digest, Record] = {}
        layers, diff_ids = [], []
        for link in layer_chain(record, cache.ledger.find):
            descriptor, diff_id = self._layer(link)
            layers.append(descriptor)
            diff_ids.append(diff_id)
        platform = Platform.system()
        document = {
            "architecture": platform.architecture,
            "os": platform.os,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]},
        }
        self._config = json.dumps(document, separators=(",", ":"), sort_keys=True).encode("ascii")
        config = Descriptor.of(self._config, media_types.OCI_CONFIG)
        self._raw = Manifest(media_types.OCI_MANIFEST, config, tuple(layers)).serialize()

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the top manifest or index, or the one with *digest* below it, verified."""
        if digest not in (None, self._raw.digest):
            raise BlobNotFoundError(f"no manifest {digest}", where=self.where)
        return self._raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the stored bytes of a config or layer. The caller verifies and closes the stream."""
        if descriptor.digest == Digest.of(self._config):
            return io.BytesIO(self._config)
        store = self._cache.store
        record = self._records.get(descriptor.digest)
        if record is not None:
            self._cache.providers.fetch(record, self._handlers)
            return store.content.open(descriptor.digest)
        found = store.layers.find(descriptor.digest)
        if found is None:
            raise BlobNotFoundError(f"no layer {descriptor.digest}", where=self.where)
        return store.layers.open(found.key)

    def plain_layer(self, layer: Descriptor, diff_id: Digest) -> PlainLayer | None:
        """Return the uncompressed form of *layer*, or None: then open its blob."""
        store = self._cache.store
        record = self._records.get(layer.digest)
        if record is not None:
            self._cache.snapshots.layer(record, self._handlers)
        found = store.layers.find(diff_id)
        return StoredPlainLayer(store, layer.digest, found) if found is not None else None

    def _layer(self, link: Link) -> tuple[Descriptor, Digest]:
        """Return the stored form and the diff ID of a layer; a lazy layer is fetched when read."""
        descriptor, diff_id = descriptor_of(link.record), digest_of(link.record, facts.DIFF_ID)
        if descriptor is not None and diff_id is not None and not link.moved:
            self._records[descriptor.digest] = link.record
            return descriptor, diff_id
        plain = self._cache.snapshots.placed(link, self._handlers)
        if descriptor is not None and plain.diff_id == diff_id:
            self._records[descriptor.digest] = link.record
            return descriptor, plain.diff_id
        return Descriptor(media_types.OCI_LAYER, plain.diff_id, plain.size), plain.diff_id
