"""Find the blobs that the images of a layout refer to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from tarkit.errors import TarkitError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest
from tarkit.image.media_types import INDEXES, MANIFESTS
from tarkit.layout.layout import Layout


def referenced(layout: Layout) -> set[Digest]:
    """Return the digests of all blobs reachable from the images of *layout*.

    If a manifest cannot be read, only its own digest is included.
    """
    found: set[Digest] = set()
    pending = list(layout.index.manifests)
    while pending:  # not recursive, because nested indexes may be arbitrarily deep
        descriptor = pending.pop()
        if descriptor.digest not in found:
            found.add(descriptor.digest)
            with suppress(TarkitError):
                pending += _children(layout, descriptor)
    return found


def _children(layout: Layout, descriptor: Descriptor) -> Sequence[Descriptor]:
    if descriptor.media_type not in MANIFESTS | INDEXES:
        return ()
    raw = layout.manifest(descriptor)
    if raw.is_index:
        return Index.parse(raw).manifests
    manifest = Manifest.parse(raw)
    return (manifest.config, *manifest.layers)
