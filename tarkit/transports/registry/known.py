"""Which blob of a repository is which layer: what lets a second copy reuse the compressed layers of the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tarkit.errors import TarkitError
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.streams.verify import verified
from tarkit.transports.registry.download import BlobStream
from tarkit.transports.registry.repository import Repository

_IMAGES_LIMIT = 32  # each costs two requests


def known_layers(
    repository: Repository, tags: Iterable[str]
) -> Mapping[Digest, Sequence[Descriptor]]:
    """The layers of the images called *tags*, by diff ID. What is not there teaches nothing."""
    known: dict[Digest, list[Descriptor]] = defaultdict(list)
    for tag in tags:
        try:
            for image in _images(repository, repository.manifest(tag)):
                for diff_id, layer in _layers(repository, image):
                    known[diff_id].append(layer)
        except TarkitError:
            continue
    return known


def _images(repository: Repository, raw: RawManifest) -> Iterable[Manifest]:
    if not raw.is_index:
        return [Manifest.parse(raw)]
    children = Index.parse(raw).manifests[:_IMAGES_LIMIT]
    return [Manifest.parse(repository.manifest(child.digest)) for child in children]


def _layers(repository: Repository, manifest: Manifest) -> Iterable[tuple[Digest, Descriptor]]:
    config = manifest.config
    data = verified(BlobStream(repository, config), config.digest, config.size)
    manifest.require_image(data)
    return zip(ImageConfig.parse(data).diff_ids, manifest.layers, strict=True)
