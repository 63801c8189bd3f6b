"""The containers of images that can be changed in place."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tarkit.errors import UnsupportedError, UsageError
from tarkit.protocols import Reader
from tarkit.transports.location import (
    AnyLocation,
    Location,
    Transport,
    open_reader,
    to_location,
)
from tarkit.values import replace

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions
    from tarkit.transports.registry.repository import Actions, Repository

_NAMES = {
    Transport.DOCKER_ARCHIVE: "docker archives",
    Transport.OCI: "OCI layouts",
    Transport.OCI_ARCHIVE: "OCI archives",
    Transport.DIR: "directories",
    Transport.REGISTRY: "registries",
    Transport.DOCKER_DAEMON: "a Docker daemon",
    Transport.STORE: "a store",
}


def place_of(location: AnyLocation, verb: str, transports: Collection[Transport]) -> Location:
    """Return *location* with the transport of a plain path, which must be one of *transports*.

    *verb* names the operation in messages. Raises :class:`UnsupportedError` for another
    transport, and :class:`UsageError` for a pipe.
    """
    location = to_location(location)
    if location.is_stream:
        raise UsageError(f"cannot {verb} standard input or output", hint="name a file")
    if location.transport is Transport.ANY:
        with open_reader(location, metadata_only=True) as reader:
            location = replace(location, transport=_transport_of(reader))
    if location.transport not in transports:
        raise UnsupportedError(
            f"cannot {verb} {_NAMES[location.transport]}",
            where=str(location),
            hint=f"this works in {', '.join(_NAMES[each] for each in transports)}",
        )
    return location


@contextmanager
def repository_at(
    place: Location, options: RegistryOptions | None, actions: Actions
) -> Iterator[Repository]:
    """Yield the repository of *place*, and close its connections after the block."""
    from tarkit.image.reference import Reference
    from tarkit.transports.registry.options import RegistryOptions
    from tarkit.transports.registry.repository import Repository

    reference = Reference.parse(place.path)
    repository = Repository.connect(reference, options or RegistryOptions(), actions)
    with repository.client:
        yield repository


def _transport_of(reader: Reader) -> Transport:
    """Return the transport of *reader*, which was opened from a plain path."""
    from tarkit.transports.docker_archive.reader import DockerArchiveReader
    from tarkit.transports.oci_archive.reader import OCIArchiveReader
    from tarkit.transports.oci_layout.reader import OCILayoutReader

    match reader:
        case OCILayoutReader():
            return Transport.OCI
        case OCIArchiveReader():
            return Transport.OCI_ARCHIVE
        case DockerArchiveReader():
            return Transport.DOCKER_ARCHIVE
    return Transport.DIR
