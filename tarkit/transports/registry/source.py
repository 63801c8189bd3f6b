"""Read an image from a registry."""

from __future__ import annotations

from typing import BinaryIO

from tarkit.errors import ImageNotFoundError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.reference import Reference
from tarkit.transports.registry.download import BlobStream
from tarkit.transports.registry.referrers import referrers
from tarkit.transports.registry.repository import Repository
from tarkit.values import replace


class RegistrySource:
    """An image of a repository, as a :class:`tarkit.protocols.Source`.

    A tag is resolved once, so a copy is consistent even if the tag moves meanwhile.
    """

    most_open = 6  # as many as other clients use; some registries refuse more

    def __init__(self, repository: Repository, reference: Reference) -> None:
        self.repository = repository
        self.where = str(reference)
        self.names = (str(replace(reference, digest=None)),) if reference.tag else ()
        self._reference = reference
        self._top: RawManifest | None = None

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the manifest *digest*, by default the top one, verified."""
        if digest is None or (self._top is not None and digest == self._top.digest):
            if self._top is None:
                asked = self._reference.digest or self._reference.tag
                self._top = self.repository.manifest(asked, missing=ImageNotFoundError)
            return self._top
        return self.repository.manifest(digest)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the blob as a stream that reconnects, unverified."""
        return BlobStream(self.repository, descriptor)

    def open_blob_at(self, descriptor: Descriptor, offset: int) -> BinaryIO:
        """Open the stored bytes of a blob from *offset* on; see :meth:`Source.open_blob`."""
        return BlobStream(self.repository, descriptor, offset)

    def holds(self, descriptor: Descriptor) -> bool:
        """Return True if the manifest or blob is present."""
        if descriptor.media_type in media_types.MANIFESTS | media_types.INDEXES:
            return self.repository.manifest_size(descriptor.digest) is not None
        return self.repository.blob_size(descriptor.digest) is not None

    def referrers(self, digest: Digest | None = None) -> Index:
        """Return an index of the referrers of the manifest *digest*, by default this image."""
        return referrers(self.repository, digest or self.manifest().digest)

    def referrer(self, entry: Descriptor) -> RegistrySource:
        """Return the artifact of an *entry* of :meth:`referrers`."""
        return RegistrySource(
            self.repository, replace(self._reference, tag="", digest=entry.digest)
        )
