"""Set and remove annotations of an image in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tarkit.errors import UnsupportedError, UsageError
from tarkit.image import media_types
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.layout.editing import Edit, replaced
from tarkit.layout.layout import Layout
from tarkit.layout.source import LayoutSource
from tarkit.managing.places import place_of, repository_at
from tarkit.protocols import Source
from tarkit.selection.select import Route, find_route
from tarkit.transports.location import (
    AnyLocation,
    Location,
    Transport,
)
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

_PLACES = (Transport.OCI, Transport.OCI_ARCHIVE, Transport.REGISTRY)
_Document = TypeVar("_Document", Manifest, Index)


def annotate_image(
    location: AnyLocation,
    annotations: Mapping[str, str | None],
    *,
    platform: Platform | None = None,
    registry: RegistryOptions | None = None,
) -> Digest:
    """Set *annotations* of the manifest or index at *location*, and remove those that are None.

    The result replaces the image under its name. Its digest is new, so signatures of the image no
    longer apply.

    Parameters:

    - *location*: an image in a layout, OCI archive or registry.
    - *annotations*: maps keys to values, or to None.
    - *platform*: change the manifest for this platform in an index, and so the indexes above it.
    - *registry*: connection options and credentials.

    Returns the digest of the new manifest or index.

    Raises :class:`~tarkit.errors.ImageNotFoundError`, :class:`~tarkit.errors.UnsupportedError` for
    Docker's formats, which have no annotations, and for other transports, and
    :class:`~tarkit.errors.UsageError` for an empty key and for an image named by digest.

    >>> version = {"org.opencontainers.image.version": "1.0"}
    >>> digest = tarkit.annotate_image("oci:alpha/umoci-oci:one", version)
    >>> with tarkit.open_image("oci:alpha/umoci-oci:one") as image:
    ...     image.manifest.annotations == version, image.digest == digest
    (True, True)
    """
    if not all(annotations):
        raise UsageError("the key of an annotation is empty")
    place = place_of(location, "annotate images in", _PLACES)
    if place.transport is Transport.REGISTRY:
        return _annotate_in_registry(place, annotations, platform, registry)

    def change(layout: Layout) -> Edit:
        image = layout.find(place.name, place.index)
        source = LayoutSource(layout, image.descriptor, image.names)
        documents = annotated(source, annotations, platform)
        return replaced(layout, place.name, place.index, documents)

    if place.transport is Transport.OCI_ARCHIVE:
        from tarkit.transports.oci_archive.editing import edit_oci_archive as edit
    else:
        from tarkit.transports.oci_layout.editing import edit_layout as edit
    return edit(Path(place.path), change).edit.descriptor.digest


def annotated(
    source: Source, annotations: Mapping[str, str | None], platform: Platform | None = None
) -> list[RawManifest]:
    """Return the changed documents of *source*, the top one last; see :func:`annotate_image`."""
    top = source.manifest()
    route = find_route(source, platform) if platform else Route((), top)
    old = route.image
    documents = [_with_annotations(old, annotations, source.where)]
    above = [top, *(source.manifest(child.digest) for child in route.children[:-1])]
    for parent in reversed(above if route.children else []):
        new = documents[-1]
        index = Index.parse(parent)
        entries = tuple(
            entry.with_content(new.media_type, new.digest, len(new.data))
            if entry.digest == old.digest
            else entry
            for entry in index.manifests
        )
        documents.append(replace(index, manifests=entries).serialize())
        old = parent
    return documents


def _with_annotations(
    raw: RawManifest, annotations: Mapping[str, str | None], where: str
) -> RawManifest:
    if media_types.family_of(raw.media_type) is not media_types.Family.OCI:
        raise UnsupportedError(
            f"{raw.media_type!r} has no annotations",
            where=where,
            hint="copy the image to an OCI layout first, which converts it",
        )
    if raw.is_index:
        return _serialized(raw, Index.parse(raw), annotations)
    return _serialized(raw, Manifest.parse(raw), annotations)


def _serialized(
    raw: RawManifest, document: _Document, annotations: Mapping[str, str | None]
) -> RawManifest:
    """Return *document* with *annotations*, or the original bytes if nothing changes."""
    merged = {**document.annotations, **annotations}
    kept = {key: text for key, text in merged.items() if text is not None}
    if kept == document.annotations:
        return raw
    return replace(document, annotations=kept).serialize()


def _annotate_in_registry(
    place: Location,
    annotations: Mapping[str, str | None],
    platform: Platform | None,
    options: RegistryOptions | None,
) -> Digest:
    from tarkit.image.reference import Reference
    from tarkit.transports.registry.editing import replace_manifests
    from tarkit.transports.registry.names import named
    from tarkit.transports.registry.source import RegistrySource

    with repository_at(place, options, "pull,push") as repository:
        source = RegistrySource(repository, named(Reference.parse(repository.name), place.name))
        documents = annotated(source, annotations, platform)
        return replace_manifests(repository, place.name, documents).digest
