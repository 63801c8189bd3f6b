"""Read the metadata of images, without reading layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field

from tarkit.image import media_types
from tarkit.image.config import History
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.media_types import Compression, is_layer, layer_compression
from tarkit.image.platform import Platform
from tarkit.image.runtime import Runtime
from tarkit.protocols import Source, StatedSource
from tarkit.selection.select import find_route, image_ways, is_present, read_image_config
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """The ``descriptor`` of a stored layer and its ``diff_id``, which is None in an artifact."""

    descriptor: Descriptor
    diff_id: Digest | None


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Metadata of an image, artifact or index.

    An index has ``manifests`` but no layers. ``platform`` comes from the config, and
    ``stated_platform`` from the index, if it states a platform. ``runtime`` and ``history`` are those of
    the config. An artifact has neither.
    """

    name: str
    descriptor: Descriptor
    platform: Platform | None = None
    config: Descriptor | None = None
    created: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    layers: tuple[LayerInfo, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    stated_platform: Platform | None = None
    runtime: Runtime | None = None
    history: tuple[History, ...] = ()

    @property
    def size(self) -> int:
        """The size of all layers as stored, in bytes."""
        return sum(layer.descriptor.size for layer in self.layers)

    @property
    def unpacked_size(self) -> int | None:
        """The size of all layers without compression, or None if a compressed one hides it."""
        plain = all(_is_plain(layer.descriptor.media_type) for layer in self.layers)
        return self.size if self.layers and plain else None


def _is_plain(media_type: str) -> bool:
    return is_layer(media_type) and layer_compression(media_type) is Compression.NONE


def inspect_image(source: Source, platform: Platform | None = None) -> ImageInfo:
    """Return metadata of *source* or, if *platform* is given, of its image for that platform.

    Raises :class:`~tarkit.errors.ImageNotFoundError` if there is no such image.

    >>> with tarkit.open_source("fixtures/hello.tar") as source:
    ...     info = tarkit.inspect_image(source)
    >>> info.name, str(info.platform), info.created
    ('hello:latest', 'linux/amd64', '2024-01-02T03:04:05Z')
    """
    stated = source.platform if isinstance(source, StatedSource) else None
    name = source.names[0] if source.names else ""
    if platform is None:
        raw = source.manifest()
    else:
        route = find_route(source, platform)
        raw = route.image
        stated = route.children[-1].platform if route.children else stated
    if raw.is_index:
        return ImageInfo(name, raw.descriptor, manifests=Index.parse(raw).manifests)
    if raw.media_type not in media_types.MANIFESTS:
        return ImageInfo(name, raw.descriptor)
    return _image_info(source, raw, name, stated)


def _image_info(source: Source, raw: RawManifest, name: str, stated: Platform | None) -> ImageInfo:
    manifest = Manifest.parse(raw)
    config = read_image_config(source, manifest)
    if config is None:
        layers = tuple(LayerInfo(layer, None) for layer in manifest.layers)
        return ImageInfo(name, raw.descriptor, config=manifest.config, layers=layers)
    return ImageInfo(
        name=name,
        descriptor=raw.descriptor,
        platform=config.platform,
        stated_platform=stated,
        config=manifest.config,
        created=config.created,
        labels=config.labels,
        layers=tuple(map(LayerInfo, manifest.layers, config.diff_ids)),
        runtime=Runtime.of(
            config.document, where=f"{source.where}: config {manifest.config.digest}"
        ),
        history=config.history,
    )


@dataclass(frozen=True, slots=True)
class Overview:
    """The top manifest or index of an image, and the ``platforms`` of the images present in it."""

    descriptor: Descriptor
    platforms: tuple[Platform, ...]


def overview(source: Source, known: dict[Digest, Overview]) -> Overview:
    """Return the platforms of *source* for a listing; artifacts and attestations have none.

    *known* caches results by digest, because an archive may tag one image thousands of times.
    """
    raw = source.manifest()
    if raw.digest not in known:
        known[raw.digest] = Overview(raw.descriptor, tuple(_platforms(source, raw)))
    found = known[raw.digest]
    stated = source.platform if isinstance(source, StatedSource) else None
    if stated and found.platforms and not raw.is_index:
        return Overview(raw.descriptor, (stated,))  # the index takes precedence
    return found


def _platforms(source: Source, raw: RawManifest) -> Iterable[Platform]:
    if raw.is_index:
        entries = (way[-1] for way in image_ways(source, raw))
        found = dict.fromkeys(entry.platform for entry in entries if is_present(source, entry))
        return filter(None, found)
    if raw.media_type not in media_types.MANIFESTS:
        return ()
    config = read_image_config(source, Manifest.parse(raw))
    return () if config is None else (config.platform,)
