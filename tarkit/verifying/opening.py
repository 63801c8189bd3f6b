"""What there is at a location, opened for a look at all of it."""

from __future__ import annotations

from pathlib import Path

from tarkit.errors import (
    MalformedError,
    NotAnImageError,
    PathNotFoundError,
    TruncatedError,
    UsageError,
)
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE
from tarkit.streams.standard import standard_input
from tarkit.tar.archive import Archive
from tarkit.transports.docker_archive.legacy import REPOSITORIES_FILE
from tarkit.transports.docker_archive.reader import MANIFEST_FILE
from tarkit.transports.location import Location, Transport
from tarkit.transports.sniff import identify

_DIRECTORIES = (Transport.OCI, Transport.DIR)
_DOCKER_FILES = (MANIFEST_FILE, REPOSITORIES_FILE)
_LAYOUT_FILES = (INDEX_FILE, MARKER_FILE)


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
    if any((path / name).exists() for name in _LAYOUT_FILES):
        return Transport.OCI
    if (path / MANIFEST_FILE).exists():
        return Transport.DIR
    raise NotAnImageError("is a directory, but not an OCI layout or an image", where=str(path))


def open_archive(location: Location) -> Archive:
    """The archive there; raises what is wrong with it, or what it is instead."""
    if location.is_stream:
        return Archive.from_stream(standard_input())
    if location.transport is Transport.DOCKER_DAEMON:
        from tarkit.transports.docker_daemon.reader import DockerDaemonReader

        with DockerDaemonReader.open() as reader:
            return reader.archive(location.name)
    path = Path(location.path)
    try:
        return Archive.open(path)
    except (MalformedError, TruncatedError):
        kind = identify(path) if location.transport is Transport.ANY else None
        if kind is None:
            raise
        raise NotAnImageError(f"is {kind}, not an image archive", where=str(path)) from None


def halves(archive: Archive, location: Location) -> tuple[bool, bool]:
    """Whether *archive* is a docker archive, and whether it is an OCI layout: by its members, or as asked.

    Raises :class:`NotAnImageError` for one that is neither.
    """
    docker = location.transport is Transport.DOCKER_ARCHIVE or _has(archive, _DOCKER_FILES)
    layout = location.transport is Transport.OCI_ARCHIVE or _has(archive, _LAYOUT_FILES)
    if not (docker or layout):
        if archive.size and not archive.trailer:
            message = f"cut short: it ends before a {MANIFEST_FILE} or {INDEX_FILE}"
            raise TruncatedError(message, where=archive.where)
        kind = "a tar archive" if archive.size else "empty"
        message = f"is {kind}, but neither a docker archive nor an OCI layout"
        raise NotAnImageError(message, where=archive.where)
    return docker, layout


def _has(archive: Archive, names: tuple[str, ...]) -> bool:
    return any(archive.candidates(name) for name in names)
