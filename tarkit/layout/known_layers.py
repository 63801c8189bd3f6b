"""Find stored layers by diff ID, so that later copies can reuse compressed layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress

from tarkit.errors import TarkitError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.walk import leaves
from tarkit.layout.layout import Layout
from tarkit.streams.verify import verified


def layers_by_diff_id(layout: Layout) -> Mapping[Digest, list[Descriptor]]:
    """Return the layers of every image in *layout*, grouped by diff ID.

    Broken or incomplete images are skipped.
    """
    known: dict[Digest, list[Descriptor]] = defaultdict(list)
    # Shared by all entries, so nested indexes and images are read only once.
    indexes: set[Digest] = set()
    images: set[Digest] = set()
    for entry in layout.index.manifests:
        with suppress(TarkitError):
            for *_, image in leaves([entry], layout.nested, seen=indexes, where=layout.files.where):
                if image.digest not in images and image.media_type in media_types.MANIFESTS:
                    images.add(image.digest)
                    with suppress(TarkitError):
                        _add_layers(layout, Manifest.parse(layout.manifest(image)), known)
    return known


def _add_layers(layout: Layout, manifest: Manifest, known: dict[Digest, list[Descriptor]]) -> None:
    config = manifest.config
    data = verified(layout.files.open_blob(config.digest), config.digest, config.size)
    manifest.require_image(data)
    parsed = ImageConfig.parse(data)
    parsed.require_layers(len(manifest.layers))
    for layer, diff_id in zip(manifest.layers, parsed.diff_ids, strict=True):
        known[diff_id].append(layer)
