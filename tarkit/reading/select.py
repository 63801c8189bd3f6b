"""Which image of an index is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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


def select_image(source: Source, platform: Platform | None = None) -> RawManifest:
    """The manifest of *source*'s image for *platform*, the system's own by default.

    Indexes are followed to the image, however they are nested. Where no platform was asked for,
    an index of which one image only is there means that image.
    Raises :class:`ImageNotFoundError`, which lists the platforms there are.
    """
    raw = source.manifest()
    seen = {raw.digest}
    for _ in range(DEPTH_LIMIT):
        if not raw.is_index:
            if platform is not None:
                _require_platform(source, raw, platform)
            return raw
        child = select_child(source, Index.parse(raw), platform)
        if child.digest in seen:
            raise MalformedError("an index that contains itself", where=source.where)
        seen.add(child.digest)
        raw = source.manifest(child.digest)
    raise LimitExceededError(
        f"indexes nested more than {DEPTH_LIMIT} deep", limit=DEPTH_LIMIT, where=source.where
    )


def select_child(source: Source, index: Index, platform: Platform | None) -> Descriptor:
    """The entry of *index* for *platform*; see :func:`select_image`."""
    images = [child for child in index.manifests if _ATTESTATION not in child.annotations]
    present = [child for child in images if is_present(source, child)]
    wanted = platform or Platform.system()
    chosen = wanted.choose(child.platform for child in present)
    if chosen is not None:
        return present[chosen]
    nested = [child for child in present if child.media_type in media_types.INDEXES]
    unmarked = nested or [child for child in present if child.platform is None]
    if unmarked:
        return unmarked[0]
    if platform is None and len(present) == 1:
        return present[0]
    raise _no_such_platform(source, wanted, images, present)


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


def _require_platform(source: Source, raw: RawManifest, platform: Platform) -> None:
    if raw.media_type not in media_types.MANIFESTS:
        return
    manifest = Manifest.parse(raw)
    manifest.require_image()
    found = ImageConfig.parse(read_config(source, manifest), where=source.where).platform
    if platform.choose([found]) is None:
        raise ImageNotFoundError(
            f"no image for {platform}", where=source.where, available=[str(found)]
        )


def _no_such_platform(
    source: Source, wanted: Platform, images: Sequence[Descriptor], present: Sequence[Descriptor]
) -> ImageNotFoundError:
    missing = wanted.choose(child.platform for child in images) is not None
    message = f"no image for {wanted}"
    if missing:
        message += " (the index names one, but it is not there)"
    return ImageNotFoundError(message, where=source.where, available=platforms_of(present))


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
