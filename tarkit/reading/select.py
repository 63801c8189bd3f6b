"""Which image of an index is meant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tarkit.errors import ImageNotFoundError, LimitExceededError, MalformedError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig
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
    search = _Search(source, platform)
    route = search.find(raw, (raw.digest,))
    if route is None:
        raise search.failure()
    return route


class _Search:
    """Goes through nested indexes, each of them once, for the image for *platform*."""

    def __init__(self, source: Source, platform: Platform | None) -> None:
        self._source = source
        self._platform = platform
        self._wanted = platform or Platform.system()
        self._seen: set[Digest] = set()
        self._available: list[str] = []
        self._is_missing = False

    def find(self, raw: RawManifest, chain: tuple[Digest, ...]) -> Route | None:
        """The way on from *raw*, where the indexes *chain* led; ``None`` where it is not there."""
        if not raw.is_index:
            return Route((), raw) if self._fits(raw) else None
        for child in self._candidates(Index.parse(raw)):
            if child.digest in self._seen and child.digest not in chain:
                continue
            self._seen.add(child.digest)
            below = self._source.manifest(child.digest)
            longer = descends(chain, child, self._source.where) if below.is_index else chain
            rest = self.find(below, longer)
            if rest is not None:
                return Route((child, *rest.children), rest.image)
        return None

    def failure(self) -> ImageNotFoundError:
        """What to raise where nothing was found."""
        message = f"no image for {self._wanted}"
        if self._is_missing:
            message += " (the index names one, but it is not there)"
        available = list(dict.fromkeys(self._available))
        return ImageNotFoundError(message, where=self._source.where, available=available)

    def _candidates(self, index: Index) -> list[Descriptor]:
        """The entries to look at, best first: what says that it fits, then what does not say."""
        images = [child for child in index.manifests if _ATTESTATION not in child.annotations]
        present = [child for child in images if is_present(self._source, child)]
        best = self._wanted.choose(child.platform for child in present)
        nested = [child for child in present if child.media_type in media_types.INDEXES]
        unmarked = [child for child in present if child.platform is None]
        found = [*([] if best is None else [present[best]]), *nested, *unmarked]
        if not found and self._platform is None and len(present) == 1:
            return present
        self._available += platforms_of(child for child in present if child not in found)
        self._is_missing |= best is None and (
            self._wanted.choose(child.platform for child in images) is not None
        )
        return found

    def _fits(self, raw: RawManifest) -> bool:
        """Whether the image *raw* is for the platform that was asked for, as its config says."""
        if self._platform is None or raw.media_type not in media_types.MANIFESTS:
            return True
        manifest = Manifest.parse(raw)
        manifest.require_image(where=self._source.where)
        config = ImageConfig.parse(read_config(self._source, manifest), where=self._source.where)
        self._available.append(str(config.platform))
        return self._platform.choose([config.platform]) is not None


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
