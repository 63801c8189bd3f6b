"""The blobs of a layout directory that is being written: existing ones and staged ones."""

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
from tarkit.layout.known_layers import layers_by_diff_id
from tarkit.layout.layout import MARKER_FILE, Layout
from tarkit.streams.codecs import decompress
from tarkit.streams.directory import Directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.oci_layout.reader import DirectoryFiles


class StagedBlobs:
    """Blobs go to the directory *staging*; those of the layout at *path*, if any, are reused.

    With *verify_existing*, those are hashed before they are reused, and layers unpacked if their
    diff ID matters; otherwise their size decides, and what the layout's images say of them.
    """

    def __init__(self, path: Path | None, staging: Directory, *, verify_existing: bool) -> None:
        self._path = path
        self.staged = BlobWriter(staging)
        self._reused: set[Digest] = set()
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

    @contextmanager
    def moved_to(
        self, layout: BlobWriter, needed: Callable[[], Container[Digest]]
    ) -> Iterator[None]:
        """Move what is staged to *layout*, and out again if the block fails.

        What *layout* held before stays in any case, and what is *needed* by then. Raises
        :class:`RefusedError` if blobs that were reused have been removed meanwhile.
        """
        for digest in self._reused:
            if layout.size(digest) is None:
                problem = f"blob {digest} was removed by another process meanwhile"
                raise RefusedError(problem, where=str(self._path), hint="try again")
        new = [digest for digest in self.staged.digests() if layout.size(digest) is None]
        try:
            layout.adopt(self.staged)
            yield
        except BaseException:
            with suppress(TarkitError):  # as long as nobody can say what is needed, all stays
                kept = needed()
                for digest in new:
                    if digest not in kept:
                        layout.remove(digest)
            raise

    def _is_there(self, blob: Descriptor) -> bool:
        if self.staged.size(blob.digest) == blob.size:
            return True
        if self._path is None or BlobStore(self._path).size(blob.digest) != blob.size:
            return False
        if self._verify_existing and not self._is_sound(blob):
            return False
        self._reused.add(blob.digest)
        return True

    def _is_sound(self, blob: Descriptor) -> bool:
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
                and self._is_there(layer)
                and (not self._verify_existing or self._holds(layer, diff_id))
            ):
                return layer
        return None

    def _holds(self, layer: Descriptor, diff_id: Digest) -> bool:
        plain = decompress(self._open(layer), layer_compression(layer.media_type))
        with VerifyingReader(plain, digest=diff_id) as reader:
            try:
                reader.verify()
            except VerificationError:
                return False
        return True

    def _open(self, blob: Descriptor) -> BinaryIO:
        assert self._path is not None  # or it would not be there
        return BlobStore(self._path).open(blob.digest)

    @cached_property
    def _known_layers(self) -> dict[Digest, list[Descriptor]]:
        if self._path is None or not (self._path / MARKER_FILE).exists():
            return {}
        return dict(layers_by_diff_id(Layout.read(DirectoryFiles(self._path))))
