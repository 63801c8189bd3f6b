"""Create and change multi-platform images: indexes of images from any sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.errors import ImageNotFoundError, RefusedError, UsageError
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index
from tarkit.managing.joined import JoinedEntry, JoinedSource, parts_of
from tarkit.managing.places import place_of
from tarkit.protocols import MountingDestination, Source
from tarkit.transports.location import (
    AnyLocation,
    AnySource,
    Location,
    Transport,
    open_reader,
    open_writer,
    opened,
)
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.copying.options import CopyOptions, CopyResult
    from tarkit.transports.registry.options import RegistryOptions

_PLACES = (Transport.OCI, Transport.OCI_ARCHIVE, Transport.REGISTRY)
_SUBJECT = "vnd.docker.reference.digest"  # BuildKit's annotation of an attestation


def create_index(
    destination: AnyLocation,
    *sources: AnySource,
    options: CopyOptions | None = None,
    registry: RegistryOptions | None = None,
) -> CopyResult:
    """Write a multi-platform image of *sources* to *destination*.

    Blobs that the destination has are not copied.

    Parameters:

    - *destination*: a name in a layout, OCI archive or registry.
    - *sources*: open sources or locations of images. An index contributes all of its images.
    - *options*: the options of the copy.
    - *registry*: connection options and credentials for every location in a registry.

    Returns the :class:`~tarkit.copying.options.CopyResult`, with the descriptor of the index.

    Raises :class:`~tarkit.errors.UsageError` if *sources* is empty or two images have the same
    platform, :class:`~tarkit.errors.UnsupportedError` for other transports, and the errors of
    :func:`~tarkit.transports.location.open_source` and :func:`~tarkit.copying.engine.copy_image`.

    >>> with tarkit.open_image("oci:alpha/crane-oci-multiarch", platform="linux/arm64") as image:
    ...     result = image.copy_to("oci:built:arm64")
    >>> result = tarkit.create_index("oci:layout:app", "fixtures/hello.tar", "oci:built:arm64")
    >>> with tarkit.open_source("oci:layout:app") as source:
    ...     [str(entry.platform) for entry in tarkit.Index.parse(source.manifest()).manifests]
    ['linux/amd64', 'linux/arm64']
    """
    if not sources:
        raise UsageError("no images for the index", hint="name at least one source")
    place = _place(destination)
    with ExitStack() as stack:
        parts = _parts(sources, registry, stack)
        platforms = [_platform(part) for part in parts if _platform(part)]
        twice = next((p for p in platforms if platforms.count(p) > 1), None)
        if twice:
            raise UsageError(
                f"two of the images are for {twice}", hint="'tarkit index add' replaces an image"
            )
        return _write(place, parts, None, place.name, options, registry)


def add_to_index(
    destination: AnyLocation,
    *sources: AnySource,
    options: CopyOptions | None = None,
    registry: RegistryOptions | None = None,
) -> CopyResult:
    """Add *sources* to the image at *destination*, each in place of one for the same platform.

    A single image at *destination* becomes an index. Attestations of replaced images are removed.
    Parameters and result are those of :func:`create_index`.

    Raises :class:`~tarkit.errors.ImageNotFoundError` if there is no image at *destination*,
    :class:`~tarkit.errors.RefusedError` if it has no name,
    :class:`~tarkit.errors.UnsupportedError` for other transports, and the errors of
    :func:`~tarkit.transports.location.open_source` and :func:`~tarkit.copying.engine.copy_image`.

    >>> result = tarkit.create_index("oci:layout:app", "oci:alpha/crane-oci-multiarch")
    >>> result = tarkit.add_to_index("oci:layout:app", "fixtures/hello.tar")  # for linux/amd64
    >>> with tarkit.open_source("oci:layout:app") as source:
    ...     [str(entry.platform) for entry in tarkit.Index.parse(source.manifest()).manifests]
    ['linux/arm64', 'linux/arm/v7', 'linux/amd64']
    """

    def change(old: list[JoinedEntry], stack: ExitStack) -> list[JoinedEntry]:
        new = _parts(sources, registry, stack)
        platforms = {platform for part in new if (platform := _platform(part))}
        kept = _without(old, lambda part: _platform(part) in platforms)
        digests = {part.entry.digest for part in kept}
        return [*kept, *(part for part in new if part.entry.digest not in digests)]

    return _change(destination, change, options, registry)


def remove_from_index(
    destination: AnyLocation,
    *images: str,
    options: CopyOptions | None = None,
    registry: RegistryOptions | None = None,
) -> CopyResult:
    """Remove *images* and their attestations from the index at *destination*.

    Parameters:

    - *destination*: a name in a layout, OCI archive or registry.
    - *images*: platforms such as ``linux/arm64``, or digests.
    - *options*, *registry*: as for :func:`create_index`.

    Returns the :class:`~tarkit.copying.options.CopyResult`, with the descriptor of the new index.

    Raises :class:`~tarkit.errors.ImageNotFoundError` if the index does not list one of *images*,
    :class:`~tarkit.errors.RefusedError` if none would be left or the index has no name, and
    :class:`~tarkit.errors.UnsupportedError` for other transports.

    >>> result = tarkit.create_index("oci:layout:app", "oci:alpha/crane-oci-multiarch")
    >>> result = tarkit.remove_from_index("oci:layout:app", "linux/arm/v7")
    >>> with tarkit.open_source("oci:layout:app") as source:
    ...     [str(entry.platform) for entry in tarkit.Index.parse(source.manifest()).manifests]
    ['linux/amd64', 'linux/arm64']
    """

    def change(old: list[JoinedEntry], stack: ExitStack) -> list[JoinedEntry]:
        known = {key for part in old for key in _keys(part)}
        for image in images:
            if image not in known:
                platforms = [platform for part in old if (platform := _platform(part))]
                raise ImageNotFoundError(
                    f"no image {image!r} in the index",
                    where=str(destination),
                    available=platforms or [str(part.entry.digest) for part in old],
                )
        left = _without(old, lambda part: not _keys(part).isdisjoint(images))
        if not left:
            raise RefusedError(
                "the index would be empty", where=str(destination), hint="use 'tarkit delete'"
            )
        return left

    return _change(destination, change, options, registry)


def _place(destination: AnyLocation) -> Location:
    return place_of(destination, "write indexes to", _PLACES)


def _parts(
    sources: Iterable[AnySource], registry: RegistryOptions | None, stack: ExitStack
) -> list[JoinedEntry]:
    """Return the images of *sources*, each digest once; *stack* closes those that are opened here."""
    found: dict[Digest, JoinedEntry] = {}
    for source in sources:
        image = stack.enter_context(opened(source, registry=registry))
        for part in parts_of(image):
            found.setdefault(part.entry.digest, part)
    return list(found.values())


def _platform(part: JoinedEntry) -> str:
    """Return the platform of *part*, or an empty string for an attestation or artifact."""
    entry = part.entry
    if entry.platform is None or _SUBJECT in entry.annotations:
        return ""
    version = entry.platform.os_version  # several Windows images differ in nothing else
    return f"{entry.platform}:{version}" if version else str(entry.platform)


def _keys(part: JoinedEntry) -> set[str]:
    """Return the texts that select *part*."""
    return {str(part.entry.digest), _platform(part)} - {""}


def _without(
    parts: Sequence[JoinedEntry], goes: Callable[[JoinedEntry], bool]
) -> list[JoinedEntry]:
    """Return *parts* without the removed images and their attestations."""
    gone = {str(part.entry.digest) for part in parts if goes(part)}
    return [
        part
        for part in parts
        if gone.isdisjoint((str(part.entry.digest), part.entry.annotations.get(_SUBJECT, "")))
    ]


def _change(
    destination: AnyLocation,
    change: Callable[[list[JoinedEntry], ExitStack], list[JoinedEntry]],
    options: CopyOptions | None,
    registry: RegistryOptions | None,
) -> CopyResult:
    place = _place(destination)
    with ExitStack() as stack:
        old = stack.enter_context(opened(place, registry=registry))
        raw = old.manifest()
        name = place.name or next(iter(old.names), None)
        if name is None and place.transport is not Transport.REGISTRY:
            raise RefusedError(
                "the image has no name", where=str(place), hint="give it one with 'tarkit tag'"
            )
        base = Index.parse(raw) if raw.is_index else None
        return _write(place, change(parts_of(old), stack), base, name, options, registry)


def _write(
    place: Location,
    parts: Sequence[JoinedEntry],
    base: Index | None,
    name: str | None,
    options: CopyOptions | None,
    registry: RegistryOptions | None,
) -> CopyResult:
    from tarkit.copying.engine import copy_image
    from tarkit.copying.existing import keep_archive
    from tarkit.copying.known import KnownLayers
    from tarkit.copying.names import NameRules
    from tarkit.copying.options import CopyOptions

    names = [name] if name else []
    place = replace(place, name=None, index=None)
    with open_writer(place, registry=registry) as writer:
        if place.transport is Transport.OCI_ARCHIVE:
            existing = partial(open_reader, place)
            path = Path(place.path)
            keep_archive(
                path,
                existing,
                writer,
                except_names=names,
                rules=NameRules.ANY,
                known=KnownLayers(),
            )
        target = writer.destination(*names)
        if isinstance(target, MountingDestination):
            for source in _distinct(parts):
                target.mount_from(source)
        joined = JoinedSource(str(place), parts, base)
        return copy_image(joined, target, replace(options or CopyOptions(), all=True))


def _distinct(parts: Iterable[JoinedEntry]) -> Iterable[Source]:
    return {id(part.source): part.source for part in parts}.values()
