"""Which stored blob is which layer: what lets a second copy reuse the compressed layers of the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from tarkit.errors import TarkitError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest
from tarkit.layout.layout import Layout
from tarkit.streams.verify import verified

_DEPTH_LIMIT = 8


def known_layers(layout: Layout) -> Mapping[Digest, list[Descriptor]]:
    """The layers of every image in *layout*, by diff ID.

    An image that is broken or incomplete teaches nothing and stops nothing.
    """
    known: dict[Digest, list[Descriptor]] = defaultdict(list)
    seen: set[Digest] = set()
    for entry in layout.index.manifests:
        _learn(layout, entry, known, seen, _DEPTH_LIMIT)
    return known


def _learn(
    layout: Layout,
    descriptor: Descriptor,
    known: dict[Digest, list[Descriptor]],
    seen: set[Digest],
    depth: int,
) -> None:
    if descriptor.digest in seen or not depth:
        return
    seen.add(descriptor.digest)
    try:
        raw = layout.manifest(descriptor)
        if raw.is_index:
            for child in Index.parse(raw).manifests:
                _learn(layout, child, known, seen, depth - 1)
        elif raw.media_type in media_types.MANIFESTS:
            _learn_image(layout, Manifest.parse(raw), known)
    except TarkitError:
        return


def _learn_image(layout: Layout, manifest: Manifest, known: dict[Digest, list[Descriptor]]) -> None:
    config = manifest.config
    data = verified(layout.files.open_blob(config.digest), config.digest, config.size)
    manifest.require_image(data)
    parsed = ImageConfig.parse(data)
    parsed.require_layers(len(manifest.layers))
    for layer, diff_id in zip(manifest.layers, parsed.diff_ids, strict=True):
        known[diff_id].append(layer)
