"""Select an image from an index by platform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from tarkit.errors import (
    ImageNotFoundError,
    LimitExceededError,
    RefusedError,
    UsageError,
    VerificationError,
)
from tarkit.image import media_types
from tarkit.image.attestation import is_attestation
from tarkit.image.config import ImageConfig, is_image_config
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.image.walk import Way, leaves
from tarkit.protocols import Source, SparseSource, StatedSource
from tarkit.streams.chunks import read_bounded
from tarkit.streams.verify import VerifyingReader
from tarkit.tracing import trace
from tarkit.values import dataclass

_MOST_READ = 16  # images to read if no entry states the requested platform


@dataclass(frozen=True, slots=True)
class Route:
    """The path to an image: the index entries to follow from the top, and its manifest."""

    children: tuple[Descriptor, ...]
    image: RawManifest


def select_image(source: Source, platform: Platform | None = None) -> RawManifest:
    """Return the manifest of *source*'s image for *platform*, by default this machine's.

    Also searches nested indexes. If *platform* is None and only one image is present, that image is
    selected.

    Raises :class:`ImageNotFoundError`, with the available platforms, if no image matches.

    >>> with tarkit.open_source("oci:alpha/crane-oci-multiarch") as source:
    ...     arm = tarkit.select_image(source, tarkit.Platform.parse("linux/arm64"))
    >>> arm.media_type
    'application/vnd.oci.image.manifest.v1+json'
    """
    return find_route(source, platform).image


def find_route(source: Source, platform: Platform | None = None) -> Route:
    """Return the path to the image that :func:`select_image` returns; raises the same errors."""
    raw = source.manifest()
    if raw.is_index:
        found = _Search(source, platform).find(raw)
        wanted = platform or "this machine"
        trace("%s: image %s for %s", source.where, found.image.digest, wanted)
        return found
    actual = None
    if platform:
        stated = source.platform if isinstance(source, StatedSource) else None
        actual = stated or _platform_of(source, raw)
    if platform and actual and platform.choose([actual]) is None:
        message = f"no image for {platform}"
        raise ImageNotFoundError(message, where=source.where, available=[str(actual)])
    return Route((), raw)


class _Search:
    """Searches an index and its nested indexes for an image for *platform*."""

    def __init__(self, source: Source, platform: Platform | None) -> None:
        self._source = source
        self._platform = platform
        self._wanted = platform or Platform.system()
        self._configs: dict[Digest, ImageConfig | None] = {}
        self._available: list[Platform] = []

    def find(self, raw: RawManifest) -> Route:
        """Return the path from the index *raw* to the best match, in this order of preference:

        1. an image whose entry states a matching platform; entries take precedence over configs,
           because podman lists images whose configs state another platform
        2. an image whose entry states no platform, but whose config matches
        3. an artifact whose entry matches
        4. if no platform was requested, the only image
        """
        named = image_ways(self._source, raw)
        present = [way for way in named if is_present(self._source, way[-1])]
        # If nothing was requested, select a single image, regardless of its platform.
        if self._platform is None and len(present) == 1:
            return self._route(present[0])
        fitting, others = self._by_entry(present)
        artifacts = []
        # An entry states a platform for artifacts too; an image for it is preferred.
        for route in map(self._route, fitting):
            if self._is_image(route.image):
                return route
            artifacts.append(route)
        images = []
        for route in (self._route(way) for way in others if way[-1].platform is None):
            with suppress(VerificationError, RefusedError):  # a bad image must not hide others
                if self._fits(route.image):
                    return route
            if self._may_be_image(route.image):
                images.append(route)
        if artifacts:
            return artifacts[0]
        # Last resort, bounded because it reads a manifest and a config for each entry.
        marked = [way for way in others if way[-1].platform is not None]
        if self._platform is None and len(marked) + len(images) <= _MOST_READ:
            images += [r for r in map(self._route, marked) if self._may_be_image(r.image)]
            if len(images) == 1:
                return images[0]
        raise self._not_found(named, marked)

    def _not_found(self, named: Sequence[Way], marked: Sequence[Way]) -> ImageNotFoundError:
        message = f"no image for {self._wanted}"
        if self._by_entry(named)[0]:
            message += " (the index lists one, but it is missing)"
        else:
            message += self._other_claim(marked)
        stated = (way[-1].platform for way in marked)
        available = dict.fromkeys(map(str, filter(_is_selectable, [*self._available, *stated])))
        return ImageNotFoundError(message, where=self._source.where, available=list(available))

    def _other_claim(self, marked: Sequence[Way]) -> str:
        """Return a remark if an image matches by its config but not by its entry in the index."""
        for way in marked[:_MOST_READ]:
            with suppress(VerificationError, RefusedError):
                found = _platform_of(self._source, self._route(way).image)
                if found and self._wanted.choose([found]) is not None:
                    stated = way[-1].platform
                    return f" (the config of {stated} says {found}, but the index takes precedence)"
        return ""

    def _by_entry(self, ways: Iterable[Way]) -> tuple[list[Way], list[Way]]:
        """Split *ways* into those whose entries match, best first, and the others."""
        variants = {variant: rank for rank, variant in enumerate(self._wanted.variants())}
        fitting: list[tuple[int, Way]] = []
        others: list[Way] = []
        for way in ways:
            platform = way[-1].platform
            if platform and self._wanted.choose([platform]) is not None:
                fitting.append((variants.get(platform.variant, len(variants)), way))
            else:
                others.append(way)
        fitting.sort(key=lambda ranked: ranked[0])
        return [way for _, way in fitting], others

    def _fits(self, raw: RawManifest) -> bool:
        """Return True if the config of *raw* matches the platform."""
        if raw.media_type not in media_types.MANIFESTS:
            return True
        config = self._config(raw)
        if config is None:
            return False
        self._available.append(config.platform)
        return self._wanted.choose([config.platform]) is not None

    def _is_image(self, raw: RawManifest) -> bool:
        return raw.media_type not in media_types.MANIFESTS or self._config(raw) is not None

    def _may_be_image(self, raw: RawManifest) -> bool:
        # An unreadable config may belong to an image.
        try:
            return self._is_image(raw)
        except (VerificationError, RefusedError):
            return True

    def _config(self, raw: RawManifest) -> ImageConfig | None:
        if raw.digest not in self._configs:
            self._configs[raw.digest] = read_image_config(self._source, Manifest.parse(raw))
        return self._configs[raw.digest]

    def _route(self, way: Way) -> Route:
        return Route(way, self._source.manifest(way[-1].digest))


def _is_selectable(platform: Platform | None) -> bool:
    """Return True if *platform*, written as text, selects itself, so that errors may suggest it."""
    if platform is None:
        return False
    try:
        return Platform.parse(str(platform)).choose([platform]) is not None
    except UsageError:
        return False


def image_ways(source: Source, raw: RawManifest) -> list[Way]:
    """Return the paths to all entries below the index *raw* except attestations.

    Entries whose manifests are missing are included.
    """

    def nested(child: Descriptor) -> RawManifest | None:
        return source.manifest(child.digest) if is_present(source, child) else None

    children = Index.parse(raw, strict=False).manifests
    ways = leaves(children, nested, above=(raw.digest,), where=source.where)
    return [way for way in ways if not is_attestation(way[-1])]


def _platform_of(source: Source, raw: RawManifest) -> Platform | None:
    """Return the platform in the config of *raw*, or None if *raw* is not an image manifest."""
    if raw.media_type not in media_types.MANIFESTS:
        return None
    manifest = Manifest.parse(raw)
    data = read_config(source, manifest)
    manifest.require_image(data, where=source.where)
    return ImageConfig.parse(data, where=source.where).platform


def is_present(source: Source, child: Descriptor) -> bool:
    """Return True if *child* is present; always true unless *source* is a SparseSource."""
    return not isinstance(source, SparseSource) or source.holds(child)


def read_config(source: Source, manifest: Manifest) -> bytes:
    """Return the verified bytes of *manifest*'s config.

    Raises :class:`LimitExceededError` if it exceeds :data:`METADATA_LIMIT`.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     data = tarkit.read_config(image.source, image.manifest)
    >>> image.manifest.config.digest.matches(data)
    True
    """
    descriptor = manifest.config
    if descriptor.size > METADATA_LIMIT:
        raise LimitExceededError(
            f"config of {descriptor.size} bytes exceeds the limit of {METADATA_LIMIT}",
            limit=METADATA_LIMIT,
            where=source.where,
        )
    stream = source.open_blob(descriptor)
    where = f"{source.where}: config {descriptor.digest}"
    with VerifyingReader(
        stream, digest=descriptor.digest, size=descriptor.size, where=where
    ) as blob:
        return read_bounded(blob, METADATA_LIMIT, where=where)


def read_image_config(source: Source, manifest: Manifest) -> ImageConfig | None:
    """Return the config of *manifest*, or None if *manifest* is an artifact.

    Raises :class:`~tarkit.errors.LayerCountError` if the numbers of layers and diff IDs differ.
    """
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
    """Return the platforms of *children* as text."""
    return [str(child.platform) for child in children if child.platform and str(child.platform)]
