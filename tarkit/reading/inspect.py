"""What there is to know of an image without reading its layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.reading.select import read_image_config, select_image
from tarkit.transports.base import Source


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer as it is stored, and its ``diff_id``: ``None`` in an artifact that is no image."""

    descriptor: Descriptor
    diff_id: Digest | None


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image, an artifact, or an index, whose ``manifests`` are listed and which has no layers itself."""

    name: str
    descriptor: Descriptor
    platform: Platform | None = None
    config: Descriptor | None = None
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    layers: tuple[LayerInfo, ...] = ()
    manifests: tuple[Descriptor, ...] = ()


def inspect_image(source: Source, platform: Platform | None = None) -> ImageInfo:
    """What *source* is; with a *platform*, the image an index has for it."""
    raw = select_image(source, platform) if platform else source.manifest()
    name = source.names[0] if source.names else ""
    if raw.is_index:
        return ImageInfo(name, raw.descriptor, manifests=Index.parse(raw).manifests)
    if raw.media_type not in media_types.MANIFESTS:
        return ImageInfo(name, raw.descriptor)
    return _image_info(source, raw, name)


def _image_info(source: Source, raw: RawManifest, name: str) -> ImageInfo:
    manifest = Manifest.parse(raw)
    config = read_image_config(source, manifest)
    if config is None:
        layers = tuple(LayerInfo(layer, None) for layer in manifest.layers)
        return ImageInfo(name, raw.descriptor, config=manifest.config, layers=layers)
    return ImageInfo(
        name=name,
        descriptor=raw.descriptor,
        platform=config.platform,
        config=manifest.config,
        created=config.created,
        labels=config.labels,
        layers=tuple(map(LayerInfo, manifest.layers, config.diff_ids)),
    )
