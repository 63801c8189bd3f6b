"""The destination of one image in a layout, either a directory or a tar archive."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Protocol

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression, Family
from tarkit.protocols import Profile
from tarkit.streams.verify import VerifyingReader
from tarkit.values import replace

DIRECTORY_PROFILE = Profile(
    media_types=MANIFESTS | INDEXES,
    family=Family.OCI,
    default_compression={
        Compression.NONE: Compression.GZIP,
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
)
ARCHIVE_PROFILE = replace(DIRECTORY_PROFILE, ordered=True)


class LayoutBlobs(Protocol):
    """The blobs of a layout that is being written."""

    def find(
        self,
        descriptor: Descriptor,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return a stored blob that can replace *descriptor*, or None.

        See :meth:`tarkit.protocols.Destination.try_reuse` for the parameters.
        """
        ...

    def put(self, blob: VerifyingReader) -> None:
        """Store *blob*; a blob that fails verification never becomes visible."""
        ...


class LayoutDestination:
    """Receives one image of a layout, as a :class:`tarkit.protocols.Destination`.

    :meth:`commit` passes the top manifest to *on_commit*.
    """

    def __init__(
        self,
        where: str,
        profile: Profile,
        blobs: LayoutBlobs,
        on_commit: Callable[[RawManifest], object],
    ) -> None:
        self.where = where
        self.profile = profile
        self._blobs = blobs
        self._on_commit = on_commit
        self._top: RawManifest | None = None

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return a stored blob that can replace *descriptor*, or None."""
        return self._blobs.find(descriptor, diff_id, compressions)

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """Store *blob* and return its descriptor."""
        self._blobs.put(blob)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """Store *manifest* unless it exists; the last one stored is the top."""
        # No compressions, because a manifest is reused only if its digest is the same.
        if self._blobs.find(manifest.descriptor, None, frozenset()) is None:
            self._blobs.put(VerifyingReader(io.BytesIO(manifest.data), digest=manifest.digest))
        self._top = manifest

    def commit(self) -> Descriptor:
        """Pass the top manifest to *on_commit* and return its descriptor."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._on_commit(self._top)
        return self._top.descriptor
