"""What there is at a location, opened for a look at all of it."""

from __future__ import annotations

from pathlib import Path

from tarkit.errors import PathNotFoundError, UsageError
from tarkit.streams.standard import standard_input
from tarkit.tar.archive import Archive
from tarkit.transports.location import Location, Transport
from tarkit.transports.sniff import Kinds, is_layout, kinds_of, open_archive

_DIRECTORIES = (Transport.OCI, Transport.DIR)


def directory_transport(location: Location) -> Transport | None:
    """Which kind of directory is there; ``None`` for an archive.

    Raises :class:`PathNotFoundError`, and :class:`NotAnImageError` for a directory of another kind.
    """
    path = Path(location.path)
    if location.transport in _DIRECTORIES:
        if location.is_stream:
            raise UsageError(f"{location.transport.value}: is a directory, and cannot be a pipe")
        if not path.is_dir():
            reason = "not a directory" if path.exists() else "no such directory"
            raise PathNotFoundError(reason, where=location.path)
        return location.transport
    if location.transport is not Transport.ANY or location.is_stream or not path.is_dir():
        return None
    return Transport.OCI if is_layout(path) else Transport.DIR


def archive_at(location: Location) -> Archive:
    """The archive there; raises what is wrong with it, or what it is instead."""
    if location.is_stream:
        return Archive.from_stream(standard_input())
    if location.transport is Transport.DOCKER_DAEMON:
        from tarkit.transports.docker_daemon.reader import DockerDaemonReader

        with DockerDaemonReader.open() as reader:
            return reader.archive(location.name)
    path = Path(location.path)
    return open_archive(path) if location.transport is Transport.ANY else Archive.open(path)


def halves(archive: Archive, location: Location) -> Kinds:
    """What *archive* is by its members, or was asked for as; raises as :func:`kinds_of`."""
    docker = location.transport is Transport.DOCKER_ARCHIVE
    layout = location.transport is Transport.OCI_ARCHIVE
    return kinds_of(archive, Kinds(docker, layout))
