"""Adapt images with a Docker schema 1 manifest: add the config, diff IDs and sizes.

A schema 1 manifest states none of these, so every layer is read once to compute them.
"""

from __future__ import annotations

import io
from functools import cached_property
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.schema1 import Schema1Manifest
from tarkit.image.v1 import config_from_v1
from tarkit.protocols import Source
from tarkit.streams.codecs import SNIFF_SIZE, decompress, detect
from tarkit.streams.verify import VerifyingReader


class Schema1Source:
    """Presents the schema 1 image *source* as a source with a schema 2 manifest."""

    def __init__(self, source: Source) -> None:
        self.where = source.where
        self.names = source.names
        self._source = source
        self._manifest_1 = Schema1Manifest.parse(source.manifest())

    @cached_property
    def _layers(self) -> dict[Digest, tuple[Descriptor, Digest]]:
        """The descriptor and diff ID of each layer, by blob digest."""
        blobs = dict.fromkeys(layer.blob for layer in self._manifest_1.layers if layer.blob)
        return {blob: self._examine(blob) for blob in blobs}

    def _examine(self, blob: Digest) -> tuple[Descriptor, Digest]:
        # The size is unknown; the registry states it in its response.
        unsized = Descriptor(media_types.DOCKER_LAYER_GZIP, blob, 0)
        where = f"{self.where}: layer {blob}"
        with VerifyingReader(self._source.open_blob(unsized), digest=blob, where=where) as packed:
            compression = detect(packed.peek(SNIFF_SIZE))
            plain = VerifyingReader(decompress(packed, compression, where=where))
            plain.verify()
            # Bytes after the compressed data belong to the blob's digest, too.
            packed.verify()
        # Docker's schema has no types for bzip2 and xz; the copy detects compression anyway.
        kind = media_types.layer_type(
            media_types.DOCKER_LAYER, media_types.Family.DOCKER, compression
        )
        return Descriptor(kind or media_types.DOCKER_LAYER, blob, packed.size), plain.digest

    @cached_property
    def _config(self) -> bytes:
        layers = self._manifest_1.layers
        diff_ids = [self._layers[layer.blob][1] for layer in layers if layer.blob]
        return config_from_v1([layer.document for layer in layers], diff_ids, where=self.where)

    @cached_property
    def _manifest_2(self) -> RawManifest:
        blobs = [layer.blob for layer in self._manifest_1.layers if layer.blob]
        return Manifest(
            media_type=media_types.DOCKER_MANIFEST,
            config=Descriptor.of(self._config, media_types.DOCKER_CONFIG),
            layers=tuple(self._layers[blob][0] for blob in blobs),
        ).serialize()

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the schema 2 manifest.

        Raises :class:`BlobNotFoundError` if *digest* is given and is not its digest.
        """
        if digest not in (None, self._manifest_2.digest):
            raise BlobNotFoundError(f"manifest {digest} is not part of the image", where=self.where)
        return self._manifest_2

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the new config or a layer of the original image, unverified."""
        if descriptor.digest.matches(self._config):
            return io.BytesIO(self._config)
        return self._source.open_blob(descriptor)
