"""Delete an image in place."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.image.digest import Digest
from tarkit.managing.places import place_of, repository_at
from tarkit.transports.location import (
    AnyLocation,
    Location,
    Transport,
)
from tarkit.values import dataclass

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

_PLACES = (
    Transport.OCI,
    Transport.OCI_ARCHIVE,
    Transport.DOCKER_ARCHIVE,
    Transport.REGISTRY,
    Transport.STORE,
)


@dataclass(frozen=True, slots=True)
class Deletion:
    """The result of a deletion.

    ``digest`` is that of the image's manifest. ``blobs`` and ``bytes`` count the content that was
    removed with it; a registry removes content later, by itself.

    >>> deletion = tarkit.delete_image("oci:alpha/umoci-oci:two")
    >>> deletion.blobs, deletion.bytes
    (2, 2228)
    """

    digest: Digest
    blobs: int = 0
    bytes: int = 0


def delete_image(location: AnyLocation, *, registry: RegistryOptions | None = None) -> Deletion:
    """Delete the image at *location*, and the content that no other image there uses.

    If the image has other names, only the given one is removed. Signatures and other referrers in a
    layout are removed with their image. In a registry, the manifest is deleted by its digest, and
    all tags of that digest with it. An archive is replaced by rename.

    Parameters:

    - *location*: an image in an archive, a layout or a registry.
    - *registry*: connection options and credentials.

    Returns the :class:`Deletion`.

    Raises :class:`~tarkit.errors.ImageNotFoundError`; :class:`~tarkit.errors.UnsupportedError` if
    the registry does not allow deletion, or for other transports; and
    :class:`~tarkit.errors.RefusedError` for the only image of an archive.

    >>> deletion = tarkit.delete_image("oci:alpha/umoci-oci:two")
    >>> with tarkit.open_reader("alpha/umoci-oci") as reader:
    ...     [image.names for image in reader.images()]
    [('one',)]
    """
    place = place_of(location, "delete images from", _PLACES)
    path, name, index = Path(place.path), place.name, place.index
    match place.transport:
        case Transport.REGISTRY:
            return _delete_from_registry(place, registry)
        case Transport.STORE:
            from tarkit.store.removal import remove_image
            from tarkit.store.roots import store_root

            image, garbage = remove_image(store_root(), name, index)
            size = sum(blob.size for blob in garbage.blobs)
            return Deletion(image.descriptor.digest, len(garbage.blobs), size)
        case Transport.DOCKER_ARCHIVE:
            from tarkit.transports.docker_archive.editing import delete_from_archive

            raw, files, size = delete_from_archive(path, name, index)
            return Deletion(raw.digest, files, size)
    from tarkit.layout.editing import without

    if place.transport is Transport.OCI_ARCHIVE:
        from tarkit.transports.oci_archive.editing import edit_oci_archive as edit
    else:
        from tarkit.transports.oci_layout.editing import edit_layout as edit
    result = edit(path, partial(without, name=name, position=index))
    return Deletion(result.edit.descriptor.digest, result.removed, result.bytes)


def _delete_from_registry(place: Location, options: RegistryOptions | None) -> Deletion:
    from tarkit.transports.registry.editing import delete_manifest

    with repository_at(place, options, "pull,delete") as repository:
        return Deletion(delete_manifest(repository, place.name).digest)
