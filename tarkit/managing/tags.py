"""Give an image additional names in place."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.errors import UsageError
from tarkit.image.digest import Digest
from tarkit.managing.places import place_of, repository_at
from tarkit.transports.location import (
    AnyLocation,
    Location,
    Transport,
)

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions

_PLACES = (
    Transport.OCI,
    Transport.OCI_ARCHIVE,
    Transport.DOCKER_ARCHIVE,
    Transport.REGISTRY,
    Transport.DOCKER_DAEMON,
)


def tag_image(
    location: AnyLocation, *names: str, registry: RegistryOptions | None = None
) -> Digest:
    """Give the image at *location* the additional *names*, without moving any layer or config.

    An image that has one of them loses it. In a layout or OCI archive, an image that loses its last
    name is no longer listed; in a docker archive it stays, unnamed. An archive is replaced by
    rename.

    Parameters:

    - *location*: an image in an archive, a layout, a registry or a Docker daemon.
    - *names*: the new names; in a registry, tags of the same repository.
    - *registry*: connection options and credentials.

    Returns the digest of the image's manifest or, from a daemon, its ID.

    Raises :class:`~tarkit.errors.ImageNotFoundError`, :class:`~tarkit.errors.UsageError` if there
    are no names or one is invalid, and :class:`~tarkit.errors.UnsupportedError` for a ``dir:`` image.

    >>> digest = tarkit.tag_image("oci:alpha/umoci-oci:one", "stable")
    >>> with tarkit.open_image("oci:alpha/umoci-oci:stable") as image:
    ...     image.digest == digest
    True
    """
    if not names or not all(names):
        raise UsageError("no name for the image" if not names else "a name is empty")
    place = place_of(location, "tag images in", _PLACES)
    path, name, index = Path(place.path), place.name, place.index
    match place.transport:
        case Transport.REGISTRY:
            return _tag_in_registry(place, names, registry)
        case Transport.DOCKER_DAEMON:
            from tarkit.transports.docker_daemon.reader import DockerDaemonReader

            with DockerDaemonReader.open() as daemon:
                return daemon.tag(name, index, names)
        case Transport.DOCKER_ARCHIVE:
            from tarkit.transports.docker_archive.editing import tag_in_archive

            return tag_in_archive(path, name, index, names).digest
    from tarkit.layout.editing import tagged

    change = partial(tagged, name=name, position=index, names=names)
    if place.transport is Transport.OCI_ARCHIVE:
        from tarkit.transports.oci_archive.editing import edit_oci_archive as edit
    else:
        from tarkit.transports.oci_layout.editing import edit_layout as edit
    return edit(path, change).edit.descriptor.digest


def _tag_in_registry(
    place: Location, names: tuple[str, ...], options: RegistryOptions | None
) -> Digest:
    from tarkit.transports.registry.editing import tag_manifest

    with repository_at(place, options, "pull,push") as repository:
        return tag_manifest(repository, place.name, names).digest
