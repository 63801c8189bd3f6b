"""The blobs of a layout directory that is being written: those that are there, and those that are staged."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from tarkit.blobs.store import BlobStore
from tarkit.errors import DigestMismatchError, VerificationError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression, is_acceptable, layer_compression
from tarkit.layout.known import known_layers
from tarkit.layout.layout import MARKER_FILE, Layout
from tarkit.streams.codecs import decompress
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.reader import DirectoryFiles


class StagedBlobs:
    """Blobs go to *staging*; those at *path* are reused.

    With *verify_existing*, those are hashed before they are, and layers unpacked where it is their
    diff ID that counts; otherwise their size decides, and what the images there say of them.
    """

    def __init__(self, path: Path, staging: Path, *, verify_existing: bool) -> None:
        self._path = path
        self.existing = BlobStore(path)
        self.staged = BlobStore(staging)
        self._verify_existing = verify_existing

    def find(
        self,
        descriptor: Descriptor,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """See :class:`tarkit.layout.destination.LayoutBlobs`."""
        if is_acceptable(descriptor.media_type, compressions) and self._is_there(descriptor):
            return descriptor
        return self._find_layer(diff_id, compressions) if diff_id else None

    def put(self, blob: VerifyingReader) -> None:
        """See :class:`tarkit.layout.destination.LayoutBlobs`."""
        self.staged.put(blob)

    def _is_there(self, blob: Descriptor) -> bool:
        if self.staged.size(blob.digest) == blob.size:
            return True
        if self.existing.size(blob.digest) != blob.size:
            return False
        return not self._verify_existing or self._is_sound(blob)

    def _is_sound(self, blob: Descriptor) -> bool:
        with VerifyingReader(self.existing.open(blob.digest), digest=blob.digest) as reader:
            try:
                reader.verify()
            except DigestMismatchError:
                return False
        return True

    def _find_layer(
        self, diff_id: Digest, compressions: frozenset[Compression]
    ) -> Descriptor | None:
        for layer in self._known_layers.get(diff_id, ()):
            if (
                layer_compression(layer.media_type) in compressions
                and self._is_there(layer)
                and (not self._verify_existing or self._holds(layer, diff_id))
            ):
                return layer
        return None

    def _holds(self, layer: Descriptor, diff_id: Digest) -> bool:
        packed = self.existing.open(layer.digest)
        plain = decompress(packed, layer_compression(layer.media_type))
        with VerifyingReader(plain, digest=diff_id) as reader:
            try:
                reader.verify()
            except VerificationError:
                return False
        return True

    @cached_property
    def _known_layers(self) -> dict[Digest, list[Descriptor]]:
        if not (self._path / MARKER_FILE).exists():
            return {}
        return dict(known_layers(Layout.read(DirectoryFiles(self._path))))
