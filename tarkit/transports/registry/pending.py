"""Manifests that wait until the blobs of all images are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import RawManifest
from tarkit.image.reference import Reference
from tarkit.streams.closeable import Closeable
from tarkit.streams.os_errors import os_errors
from tarkit.values import dataclass

_IN_MEMORY = 8 << 20  # bytes; beyond, a temporary file holds the manifests


@dataclass(slots=True)
class PendingImage:
    """An image to publish under *references*, with the place of each manifest, the top one last."""

    references: Sequence[Reference]
    places: list[tuple[Descriptor, int]] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the image."""
        return tuple(map(str, self.references))


class PendingManifests(Closeable):
    """Keeps manifests in memory or, if there are many, in a temporary file."""

    def __init__(self) -> None:
        import tempfile

        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  close() does
        self.images: list[PendingImage] = []

    def add(self, references: Sequence[Reference], manifests: Sequence[RawManifest]) -> None:
        """Add an image."""
        image = PendingImage(references)
        with os_errors("temporary files"):
            for manifest in manifests:
                image.places.append((manifest.descriptor, self._file.seek(0, 2)))
                self._file.write(manifest.data)
        self.images.append(image)

    def manifests(self, image: PendingImage) -> Iterator[RawManifest]:
        """Yield the manifests of *image*."""
        for descriptor, offset in image.places:
            with os_errors("temporary files"):
                self._file.seek(offset)
                data = self._file.read(descriptor.size)
            yield RawManifest(data, descriptor.media_type, descriptor.digest)

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()
