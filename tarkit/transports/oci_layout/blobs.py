"""The blobs of a layout directory that is being written: existing and staged blobs."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from tarkit.blobs.store import BlobStore
from tarkit.blobs.writing import BlobWriter
from tarkit.errors import DigestMismatchError, RefusedError, TarkitError, VerificationError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression, is_acceptable, layer_compression
from tarkit.layout.layout import MARKER_FILE, Layout
from tarkit.streams.codecs import decompress
from tarkit.streams.directory import Directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.reader import DirectoryFiles


class StagedBlobs:
    """Writes blobs to the directory *staging*, and reuses blobs of the layout at *path*, if any.

    If *verify_existing*, existing blobs are hashed before reuse, and layers found by diff ID are
    also decompressed and hashed. Otherwise, matching sizes and the diff IDs in the configs of the
    layout's images are trusted.
    """

    def __init__(self, path: Path | None, staging: Directory, *, verify_existing: bool) -> None:
        self._path = path
        self.staged = BlobWriter(staging)
        self._stored: dict[Digest, None] = {}
        self._reused: set[Digest] = set()
        self._verify_existing = verify_existing

    def find(
        self,
        descriptor: Descriptor,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return a staged or existing blob that can replace *descriptor*, or None."""
        if is_acceptable(descriptor.media_type, compressions) and self._reuse(descriptor):
            return descriptor
        return self._find_layer(diff_id, compressions) if diff_id else None

    def put(self, blob: VerifyingReader) -> None:
        """Stage *blob*, verified."""
        self.staged.put(blob)
        self._stored[blob.digest] = None

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Remove the blobs that the block stored, if it raises."""
        count = len(self._stored)
        try:
            yield
        except BaseException:
            while len(self._stored) > count:
                self.staged.remove(self._stored.popitem()[0])
            raise

    @contextmanager
    def moved_to(
        self, layout: BlobWriter, needed: Callable[[], Container[Digest]]
    ) -> Iterator[None]:
        """Move the staged blobs to *layout*, and remove them again if the block fails.

        Blobs that *layout* had before, or that are *needed* at the time of the failure, stay.
        Raises :class:`RefusedError` if another process has removed blobs that were reused.
        """
        for digest in self._reused:
            if layout.size(digest) is None:
                problem = f"another process removed blob {digest} during the copy"
                raise RefusedError(problem, where=str(self._path), hint="try again")
        # Only these blobs may be removed after a failure.
        new = [digest for digest in self.staged.digests() if layout.size(digest) is None]
        try:
            layout.adopt(self.staged)
            yield
        except BaseException:
            with suppress(TarkitError):  # if needed() fails, nothing is removed
                kept = needed()
                for digest in new:
                    if digest not in kept:
                        with suppress(TarkitError):  # the first error is the one to report
                            layout.remove(digest)
            raise

    def _reuse(self, blob: Descriptor) -> bool:
        if self.staged.size(blob.digest) == blob.size:
            return True
        if self._path is None or BlobStore(self._path).size(blob.digest) != blob.size:
            return False
        if self._verify_existing and not self._is_intact(blob):
            return False
        self._reused.add(blob.digest)
        return True

    def _is_intact(self, blob: Descriptor) -> bool:
        with VerifyingReader(self._open(blob), digest=blob.digest) as reader:
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
                and self._reuse(layer)
                and (not self._verify_existing or self._has_diff_id(layer, diff_id))
            ):
                return layer
        return None

    def _has_diff_id(self, layer: Descriptor, diff_id: Digest) -> bool:
        plain = decompress(self._open(layer), layer_compression(layer.media_type))
        with VerifyingReader(plain, digest=diff_id) as reader:
            try:
                reader.verify()
            except VerificationError:
                return False
        return True

    def _open(self, blob: Descriptor) -> BinaryIO:
        assert self._path is not None  # only blobs of an existing layout are opened
        return BlobStore(self._path).open(blob.digest)

    @cached_property
    def _known_layers(self) -> dict[Digest, list[Descriptor]]:
        if self._path is None or not (self._path / MARKER_FILE).exists():
            return {}
        from tarkit.layout.known_layers import layers_by_diff_id

        return dict(layers_by_diff_id(Layout.read(DirectoryFiles(self._path))))
