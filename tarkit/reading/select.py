"""Which image of an index is meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tarkit.errors import ImageNotFoundError, LimitExceededError, MalformedError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig, is_image_config
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.streams.chunks import read_bounded
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.base import Source, SparseSource

DEPTH_LIMIT = 8
"""How deep indexes may lie in one another."""

_ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True, slots=True)
class Route:
    """The way to an image: the entries of indexes to follow from the top, and its manifest."""

    children: tuple[Descriptor, ...]
    image: RawManifest


def select_image(source: Source, platform: Platform | None = None) -> RawManifest:
    """The manifest of *source*'s image for *platform*, the system's own by default.

    Indexes are followed to the image, however they are nested. Where no platform was asked for,
    an index of which one image only is there means that image.
    Raises :class:`ImageNotFoundError`, which lists the platforms there are.
    """
    return find_route(source, platform).image


def find_route(source: Source, platform: Platform | None = None) -> Route:
    """The way to the image that :func:`select_image` finds; raises as that does."""
    raw = source.manifest()
    if raw.is_index:
        return _Search(source, platform).find(raw)
    found = _platform_of(source, raw) if platform else None
    if platform and found and platform.choose([found]) is None:
        message = f"no image for {platform}"
        raise ImageNotFoundError(message, where=source.where, available=[str(found)])
    return Route((), raw)


_Way = tuple[Descriptor, ...]  # the entries to follow, the last of which is no index


class _Search:
    """Looks for the image for *platform* in an index, and in all that are nested in it."""

    def __init__(self, source: Source, platform: Platform | None) -> None:
        self._source = source
        self._platform = platform
        self._wanted = platform or Platform.system()
        self._seen: set[Digest] = set()
        self._configs: dict[Digest, ImageConfig | None] = {}
        self._available: list[str] = []

    def find(self, raw: RawManifest) -> Route:
        """The way from *raw*: to what says it fits, else to what fits, else to the only one there is."""
        named = list(self._ways(raw, (raw.digest,)))
        present = [way for way in named if is_present(self._source, way[-1])]
        if self._platform is None and len(present) == 1:
            return self._route(present[0])
        fitting, others = self._by_entry(present)
        for route in map(self._route, fitting):
            if self._platform is None or self._fits(route.image):
                return route
        marked = [way for way in others if way[-1].platform is not None]
        images = []
        for route in (self._route(way) for way in others if way[-1].platform is None):
            if self._fits(route.image):
                return route
            if self._is_image(route.image):
                images.append(route)
        if self._platform is None and len(marked) + len(images) == 1:
            return images[0] if images else self._route(marked[0])
        message = f"no image for {self._wanted}"
        if not fitting and self._by_entry(named)[0]:
            message += " (the index names one, but it is not there)"
        available = [*self._available, *platforms_of(way[-1] for way in marked)]
        raise ImageNotFoundError(
            message, where=self._source.where, available=list(dict.fromkeys(available))
        )

    def _ways(self, raw: RawManifest, chain: tuple[Digest, ...]) -> Iterator[_Way]:
        """The ways to everything below the index *raw* but attestations; each index is entered once."""
        for child in Index.parse(raw).manifests:
            if _ATTESTATION in child.annotations:
                continue
            if child.media_type not in media_types.INDEXES:
                yield (child,)
                continue
            longer = descends(chain, child, self._source.where)
            if child.digest not in self._seen and is_present(self._source, child):
                self._seen.add(child.digest)
                for way in self._ways(self._source.manifest(child.digest), longer):
                    yield (child, *way)

    def _by_entry(self, ways: Sequence[_Way]) -> tuple[list[_Way], list[_Way]]:
        """Those of *ways* whose entries say that they fit, best first, and the others."""
        fitting, others = [], list(ways)
        while (best := self._wanted.choose(way[-1].platform for way in others)) is not None:
            fitting.append(others.pop(best))
        return fitting, others

    def _fits(self, raw: RawManifest) -> bool:
        """Whether *raw* is an image for the platform, as its config says."""
        if raw.media_type not in media_types.MANIFESTS:
            return True
        config = self._config(raw)
        if config is None:
            return False
        self._available.append(str(config.platform))
        return self._wanted.choose([config.platform]) is not None

    def _is_image(self, raw: RawManifest) -> bool:
        return raw.media_type not in media_types.MANIFESTS or self._config(raw) is not None

    def _config(self, raw: RawManifest) -> ImageConfig | None:
        if raw.digest not in self._configs:
            self._configs[raw.digest] = read_image_config(self._source, Manifest.parse(raw))
        return self._configs[raw.digest]

    def _route(self, way: _Way) -> Route:
        return Route(way, self._source.manifest(way[-1].digest))


def _platform_of(source: Source, raw: RawManifest) -> Platform | None:
    """The platform in the config of the image *raw*; ``None`` for a manifest that is not parsed here."""
    if raw.media_type not in media_types.MANIFESTS:
        return None
    manifest = Manifest.parse(raw)
    data = read_config(source, manifest)
    manifest.require_image(data, where=source.where)
    return ImageConfig.parse(data, where=source.where).platform


def is_present(source: Source, child: Descriptor) -> bool:
    """Whether the manifest is there; only sparse sources can say that it is not."""
    return not isinstance(source, SparseSource) or source.holds(child)


def read_config(source: Source, manifest: Manifest) -> bytes:
    """The bytes of *manifest*'s config, verified."""
    descriptor = manifest.config
    if descriptor.size > METADATA_LIMIT:
        raise LimitExceededError(
            f"a config of {descriptor.size} bytes", limit=METADATA_LIMIT, where=source.where
        )
    stream = source.open_blob(descriptor)
    where = f"{source.where}: config {descriptor.digest}"
    with VerifyingReader(
        stream, digest=descriptor.digest, size=descriptor.size, where=where
    ) as blob:
        return read_bounded(blob, METADATA_LIMIT, where=where)


def read_image_config(source: Source, manifest: Manifest) -> ImageConfig | None:
    """The config of *manifest* with a diff ID for each layer, or ``None`` if that is an artifact's."""
    if not manifest.may_be_image:
        return None
    data = read_config(source, manifest)
    if not is_image_config(data, manifest.config.media_type):
        return None
    where = f"{source.where}: config {manifest.config.digest}"
    config = ImageConfig.parse(data, where=where)
    config.require_layers(len(manifest.layers), where=where)
    return config


def platforms_of(children: Iterable[Descriptor]) -> list[str]:
    """The platforms that *children* are for, written out."""
    return [str(child.platform) for child in children if child.platform and str(child.platform)]


def descends(chain: tuple[Digest, ...], child: Descriptor, where: str) -> tuple[Digest, ...]:
    """*chain*, the indexes above, with *child* added; an error where it closes a cycle or goes too deep."""
    if child.digest in chain:
        raise MalformedError("an index that contains itself", where=where)
    if len(chain) >= DEPTH_LIMIT:
        raise LimitExceededError(
            f"indexes nested more than {DEPTH_LIMIT} deep", limit=DEPTH_LIMIT, where=where
        )
    return (*chain, child.digest)
