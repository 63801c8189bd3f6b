"""The digests of an image, one for each platform."""

from __future__ import annotations

from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.protocols import Source
from tarkit.selection.inspect import overview
from tarkit.selection.select import image_ways
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class PlatformDigest:
    """The ``digest`` of a manifest and its ``platform``, or None if no platform is known."""

    digest: Digest
    platform: Platform | None


def platform_digests(source: Source) -> tuple[PlatformDigest, ...]:
    """Return the manifests of *source* in the order of its index, without attestations.

    Manifests that the index lists but the source lacks are included. An image without an index is
    its only manifest. Raises the errors of reading the index or the config.
    """
    raw = source.manifest()
    if raw.is_index:
        entries = dict.fromkeys(
            (way[-1].digest, way[-1].platform) for way in image_ways(source, raw)
        )
        return tuple(PlatformDigest(digest, platform) for digest, platform in entries)
    platforms = overview(source, {}).platforms
    return (PlatformDigest(raw.digest, platforms[0] if platforms else None),)
