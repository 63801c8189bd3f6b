"""One image of a layout, as a source of copies."""

from __future__ import annotations

from typing import BinaryIO

from tarkit.errors import BlobNotFoundError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.layout.layout import Layout


class LayoutSource:
    """An image of a layout; it returns only manifests reachable from the top one, each verified."""

    def __init__(self, layout: Layout, top: Descriptor, names: tuple[str, ...]) -> None:
        self._layout = layout
        self._top = top
        self._known = {top.digest: top}
        self.names = names
        self.platform = top.platform
        self.where = layout.files.where

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the manifest with *digest*, by default the top one, verified.

        Raises :class:`BlobNotFoundError` if it is missing or not part of the image.
        """
        descriptor = self._top if digest is None else self._known.get(digest)
        if descriptor is None:
            raise BlobNotFoundError(f"manifest {digest} is not part of the image", where=self.where)
        raw = self._layout.manifest(descriptor)
        if raw.is_index:
            # Only children of returned indexes are reachable; digests from elsewhere are refused.
            for child in Index.parse(raw, strict=False).manifests:
                self._known.setdefault(child.digest, child)
        return raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the blob *descriptor*, unverified."""
        return self._layout.files.open_blob(descriptor.digest)

    def referrers(self, digest: Digest | None = None) -> Index:
        """Return an index of the referrers of the manifest *digest*, by default the top one."""
        from tarkit.layout.referrers import referrers_of  # few commands ask for them

        return referrers_of(self._layout, digest or self._top.digest)

    def referrer(self, entry: Descriptor) -> LayoutSource:
        """Return the artifact of an *entry* of :meth:`referrers`."""
        return LayoutSource(self._layout, entry, ())

    def holds(self, descriptor: Descriptor) -> bool:
        """Return True if the blob *descriptor* is present."""
        return self._layout.files.blob_size(descriptor.digest) is not None
