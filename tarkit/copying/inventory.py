"""The blobs that the images of an existing archive consist of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from tarkit.copying.known import KnownLayers
from tarkit.errors import TarkitError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest
from tarkit.protocols import ImageEntry, Reader, Source
from tarkit.selection.select import is_present, read_image_config


def blobs_of(reader: Reader, images: Iterable[ImageEntry], known: KnownLayers) -> set[Digest]:
    """Return the digests of all manifests, configs and layers of *images*.

    Their layers are added to *known* under the diff IDs that the configs state.
    """
    found: set[Digest] = set()
    for image in images:
        source = reader.source(index=image.index)
        pending = [source.manifest().descriptor]
        while pending:  # not recursive, because nested indexes may be arbitrarily deep
            descriptor = pending.pop()
            if descriptor.digest not in found:
                found.add(descriptor.digest)
                pending += _children(source, descriptor, known)
    return found


def _children(source: Source, descriptor: Descriptor, known: KnownLayers) -> Sequence[Descriptor]:
    types = media_types.MANIFESTS | media_types.INDEXES
    if descriptor.media_type not in types or not is_present(source, descriptor):
        return ()
    raw = source.manifest(descriptor.digest)
    if raw.is_index:
        return Index.parse(raw, strict=False).manifests
    manifest = Manifest.parse(raw)
    with suppress(TarkitError):  # the copy of this image reports a broken config
        config = read_image_config(source, manifest)
        if config is not None:
            for diff_id, layer in zip(config.diff_ids, manifest.layers, strict=True):
                known.add(diff_id, layer)
    return (manifest.config, *manifest.layers)
