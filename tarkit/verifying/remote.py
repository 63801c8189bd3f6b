"""Look up the manifests and blobs of a repository in a registry."""

from __future__ import annotations

import io
from collections.abc import Iterator

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.transports.registry.download import BlobStream
from tarkit.transports.registry.repository import Repository
from tarkit.verifying.contents import StoredBlob


class RegistryContents:
    """The manifests and blobs of a repository, as a ``BlobLookup``."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def read(self, name: str) -> bytes | None:
        """Return None, because a repository has no documents other than manifests."""
        return None

    def blob(self, digest: Digest) -> tuple[StoredBlob, ...]:
        """Return the blob or manifest *digest*, or nothing if it is missing."""
        size = self._repository.blob_size(digest)
        if size is not None:
            blob = Descriptor("", digest, size)
            return (
                StoredBlob(
                    str(digest),
                    size,
                    digest=digest,
                    open=lambda: BlobStream(self._repository, blob),
                ),
            )
        size = self._repository.manifest_size(digest)
        if size is None:
            return ()
        return (
            StoredBlob(
                str(digest),
                size,
                digest=digest,
                open=lambda: io.BytesIO(self._repository.manifest(digest).data),
            ),
        )

    def place(self, digest: Digest) -> str:
        """Return the name that the file of the blob has or should have, for findings."""
        return str(digest)

    def stored(self) -> Iterator[StoredBlob]:
        """Return nothing, because registries do not list blobs."""
        return iter(())
