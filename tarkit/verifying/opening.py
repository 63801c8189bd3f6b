"""Open the container at a location for verification."""

from __future__ import annotations

from pathlib import Path

from tarkit.errors import PathNotFoundError, UsageError
from tarkit.streams.standard import standard_input
from tarkit.tar.archive import Archive
from tarkit.transports.location import Location, Transport, advised, require_transport
from tarkit.transports.sniff import Kinds, is_layout, kinds_of, open_archive

_DIRECTORIES = (Transport.OCI, Transport.DIR)


def directory_transport(location: Location) -> Transport | None:
    """Return the kind of directory at *location*, or None for an archive.

    Raises :class:`PathNotFoundError` if a required directory is missing, and :class:`UsageError` if
    the location is a pipe but the transport requires a directory.
    """
    path = Path(location.path)
    if location.transport in _DIRECTORIES:
        if location.is_stream:
            raise UsageError(f"{location.transport.value}: requires a directory, not a pipe")
        with advised(location):
            if not path.is_dir():
                reason = "not a directory" if path.exists() else "no such directory"
                raise PathNotFoundError(reason, where=location.path)
        return location.transport
    if location.transport is not Transport.ANY or location.is_stream or not path.is_dir():
        return None
    return Transport.OCI if is_layout(path) else Transport.DIR


def archive_at(location: Location) -> Archive:
    """Open the archive at *location*.

    Raises :class:`~tarkit.errors.TarkitError` if it is not an archive.
    """
    if location.is_stream:
        return Archive.from_stream(standard_input())
    if location.transport is Transport.DOCKER_DAEMON:
        from tarkit.transports.docker_daemon.reader import DockerDaemonReader

        with DockerDaemonReader.open() as reader:
            return reader.archive(location.name)
    path = Path(location.path)
    if location.transport is Transport.ANY:
        require_transport(location)
        return open_archive(path)
    with advised(location):
        return Archive.open(path)


def image_formats(archive: Archive, location: Location) -> Kinds:
    """Return the formats of *archive*, based on its members and transport."""
    docker = location.transport is Transport.DOCKER_ARCHIVE
    layout = location.transport is Transport.OCI_ARCHIVE
    return kinds_of(archive, Kinds(docker, layout))
