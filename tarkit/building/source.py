"""The image that a builder builds, as a source of copies."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.protocols import RemoteSource, SequentialSource, Source
from tarkit.tar.data import FileData, StoredData
from tarkit.tar.member import Member


class BuiltSource:
    """An image of *manifest* and *config*; see :class:`tarkit.protocols.Source`.

    *layers* maps the digests of the new layers to open files with their contents. All other layers
    are those of *base*; see :class:`tarkit.protocols.DerivedSource`.
    """

    names: tuple[str, ...] = ()

    def __init__(
        self,
        base: Source | None,
        manifest: RawManifest,
        config: bytes,
        layers: Mapping[Digest, BinaryIO],
    ) -> None:
        self.where = f"the image built from {base.where}" if base else "the built image"
        self.base = base
        self._raw = manifest
        self._config = config
        self._config_digest = Manifest.parse(manifest).config.digest
        self._layers = layers

    @property
    def most_open(self) -> int:
        """The maximum number of blobs to open at a time."""
        if isinstance(self.base, RemoteSource):
            return self.base.most_open
        return max(1, len(Manifest.parse(self._raw).layers))

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the top manifest or index, or the one with *digest* below it, verified."""
        if digest not in (None, self._raw.digest):
            raise BlobNotFoundError(f"manifest {digest} is missing", where=self.where)
        return self._raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the stored bytes of a config or layer. The caller verifies and closes the stream."""
        if descriptor.digest == self._config_digest:
            return io.BytesIO(self._config)
        file = self._layers.get(descriptor.digest)
        if file is not None:
            size = descriptor.size
            return StoredData(
                FileData(file, self.where), Member(b"", size=size, stored=size), self.where
            )
        if self.base is None:
            raise BlobNotFoundError(f"blob {descriptor.digest} is missing", where=self.where)
        return self.base.open_blob(descriptor)

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """Return *blobs* in an order that reads the source once, or None if any order works."""
        if not isinstance(self.base, SequentialSource):
            return None
        ours = [blob for blob in blobs if blob.digest in self._layers]
        order = self.base.reading_order([blob for blob in blobs if blob not in ours])
        return None if order is None else [*ours, *order]
