"""Parse and open locations of the form ``transport:path[:name|:@N]``.

This is the only module that imports every transport, each only when it is used.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from tarkit.errors import TarkitError, UsageError
from tarkit.image.reference import Reference
from tarkit.patterns import lazy_pattern
from tarkit.protocols import Reader, Source, Writer
from tarkit.streams.standard import standard_input
from tarkit.values import dataclass

if TYPE_CHECKING:
    from tarkit.image.platform import Platform
    from tarkit.store.store import Store
    from tarkit.transports.docker_archive.format import DockerFormat
    from tarkit.transports.registry.options import RegistryOptions


class Transport(Enum):
    """The kinds of locations; each value is the prefix."""

    DOCKER_ARCHIVE = "docker-archive"
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DIR = "dir"
    REGISTRY = "docker"
    DOCKER_DAEMON = "docker-daemon"
    STORE = "store"
    ANY = ""  # a plain path, whose format is detected


_BY_PREFIX = {transport.value: transport for transport in Transport if transport.value}
_PREFIX = re.compile(r"([a-z][a-z0-9-]+):(.*)", re.DOTALL)
_INDEX = lazy_pattern(r"(.*):@([0-9]{1,9})", re.DOTALL)
_DRIVE = lazy_pattern(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Location:
    """A ``transport`` and ``path``, perhaps with the ``name`` or zero-based ``index`` of an image.

    The path of a Docker daemon or a store is empty: the environment selects it. In a store, a name
    that starts with ``@`` is a digest or the ID of a ref.

    >>> tarkit.Location.parse("docker-archive:app.tar:app:1").name
    'app:1'
    """

    transport: Transport
    path: str
    name: str | None = None
    index: int | None = None

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> Self:
        """Parse a location as written on the command line.

        Text without a transport is a plain path, including its colons; a transport is required to
        select an image by name. A :class:`~pathlib.Path` is always a plain path. Raises
        :class:`UsageError` if *text* is not a location.
        """
        if not isinstance(text, str):
            path = os.fspath(text)
            return cls(Transport.ANY, _required(path, path))
        match = _PREFIX.fullmatch(text)
        if match is None or _DRIVE.match(text) or (os.sep in match[1]):
            return cls(Transport.ANY, _required(text, text))
        prefix, rest = match.groups()
        transport = _BY_PREFIX.get(prefix)
        if transport is None:
            if Path(text).exists():  # a file name with a colon
                return cls(Transport.ANY, text)
            if "/" in rest:  # HOST:PORT/NAME:TAG
                from tarkit.transports.advice import refuse_bare_reference

                refuse_bare_reference(text)
            raise UsageError(
                f"unknown transport {prefix!r} in {text!r}",
                hint=f"use {', '.join(_BY_PREFIX)}, or docker://{text} for a registry",
            )
        if transport is Transport.DIR:
            return cls(transport, _required(rest, text))
        if transport is Transport.REGISTRY:
            return cls(transport, *_repository(rest, text))
        if transport is Transport.DOCKER_DAEMON:
            return cls(transport, "", rest or None)
        if transport is Transport.STORE:
            number = rest[1:] if rest.startswith("@") else ""
            is_index = number.isascii() and number.isdigit() and len(number) < 10
            return (
                cls(transport, "", None, int(number))
                if is_index
                else cls(transport, "", rest or None)
            )
        path, name, index = _split(rest)
        return cls(transport, _required(path, text), name, index)

    @property
    def is_stream(self) -> bool:
        """True if the path is ``-``, which means standard input or output."""
        return self.path == "-"

    def __str__(self) -> str:
        if self.transport is Transport.REGISTRY:
            # The name is a tag, a digest or "tag@digest"; only a digest without a tag starts with a
            # colon.
            mark = "@" if ":" in (self.name or "").partition("@")[0] else ":"
            return (
                f"docker://{self.path}{mark}{self.name}" if self.name else f"docker://{self.path}"
            )
        selector = f":@{self.index}" if self.index is not None else ""
        selector = f":{self.name}" if self.name is not None else selector
        if self.transport in (Transport.DOCKER_DAEMON, Transport.STORE):
            selector = selector.removeprefix(":")
        prefix = f"{self.transport.value}:" if self.transport.value else ""
        return f"{prefix}{self.path}{selector}"


AnyLocation: TypeAlias = Location | str | os.PathLike[str]
"""A location, its text, or the plain path of a container of images."""

AnySource: TypeAlias = Source | AnyLocation
"""An image of an open reader, or the location of an image."""


def to_location(location: AnyLocation) -> Location:
    """Return *location* parsed; see :meth:`Location.parse`."""
    return location if isinstance(location, Location) else Location.parse(location)


def _split(rest: str) -> tuple[str, str | None, int | None]:
    """Split the text after the transport into path, name and index; keep the colon of a drive."""
    start = 2 if _DRIVE.match(rest) else 0
    indexed = _INDEX.fullmatch(rest)
    if indexed and len(indexed[1]) > start:
        return indexed[1], None, int(indexed[2])
    path, colon, name = rest[start:].partition(":")
    return rest[:start] + path, name if colon and name else None, None


def _repository(rest: str, text: str) -> tuple[str, str | None]:
    """Split ``//host/path:tag@digest`` into the repository and the image's name in it."""
    if not rest.startswith("//"):
        raise UsageError(f"malformed location {text!r}", hint="write docker://NAME")
    host = rest[2:].rstrip("/")
    if "/" not in host and (host.startswith("localhost:") or "." in host.partition(":")[0]):
        raise UsageError(
            f"{host!r} is a registry, not a repository", hint=f"write docker://{host}/NAME"
        )
    reference = Reference.parse(rest[2:])
    name = "@".join(str(part) for part in (reference.tag, reference.digest) if part)
    return reference.repository, name or None


def _required(path: str, text: str) -> str:
    if not path or "\0" in path:
        raise UsageError(f"no path in the location {text!r}")
    return path


def open_reader(
    location: AnyLocation,
    *,
    metadata_only: bool = False,
    follow_links: bool = False,
    registry: RegistryOptions | None = None,
) -> Reader:
    """Open *location* for reading; the reader is a context manager.

    If *metadata_only*, data from a pipe or a daemon is not spooled, so layers cannot be read. If
    *follow_links*, files of a layout or directory may be links to outside. *registry* holds
    connection options and credentials.

    Raises :class:`PathNotFoundError` if the location does not exist, and :class:`NotAnImageError`
    if a plain path is not an image.

    >>> with tarkit.open_reader("fixtures/hello.tar") as reader:
    ...     [image.names for image in reader.images()]
    [('hello:latest',)]
    """
    location = to_location(location)
    if location.transport is Transport.ANY:
        from tarkit.transports.sniff import sniff

        require_transport(location)
        return sniff(location.path, metadata_only=metadata_only, follow_links=follow_links)
    if location.is_stream:
        return _open_stream(location, metadata_only)
    with advised(location):
        return _open_reader(location, metadata_only, follow_links, registry)


@contextmanager
def advised(location: Location) -> Iterator[None]:
    """Add a hint to an error of the block if another form of *location* would work."""
    try:
        yield
    except TarkitError as error:
        if location.transport in _PATHS:
            from tarkit.transports.advice import advise

            advise(error, location.transport.value, location.path, location.name)
        raise


_PATHS = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE, Transport.OCI, Transport.DIR)


def require_transport(location: Location) -> None:
    """Raise :class:`UsageError` if *location*, without transport, is an image name and no file."""
    from tarkit.transports.advice import refuse_bare_reference

    if location.transport is Transport.ANY and not location.is_stream:
        refuse_bare_reference(location.path)


def _open_reader(
    location: Location, metadata_only: bool, follow_links: bool, registry: RegistryOptions | None
) -> Reader:
    match location.transport:
        case Transport.DOCKER_ARCHIVE:
            from tarkit.transports.docker_archive.reader import DockerArchiveReader

            return DockerArchiveReader.open(location.path)
        case Transport.OCI_ARCHIVE:
            from tarkit.transports.oci_archive.reader import OCIArchiveReader

            return OCIArchiveReader.open(location.path)
        case Transport.OCI:
            from tarkit.transports.oci_layout.reader import OCILayoutReader

            return OCILayoutReader.open(location.path, follow_links=follow_links)
        case Transport.DIR:
            from tarkit.transports.directory.reader import DirectoryReader

            return DirectoryReader.open(location.path, follow_links=follow_links)
        case Transport.REGISTRY:
            from tarkit.transports.registry.reader import RegistryReader

            return RegistryReader.open(location.path, registry)
        case Transport.DOCKER_DAEMON:
            from tarkit.transports.docker_daemon.reader import DockerDaemonReader

            return DockerDaemonReader.open(keep_data=not metadata_only)
        case Transport.STORE:
            from tarkit.store.roots import store_root
            from tarkit.transports.store.reader import StoreReader

            return StoreReader.open(store_root(), _open_ref)
        case Transport.ANY:
            raise AssertionError("open_reader() handles plain paths")


def _open_ref(store: Store, ref_id: str) -> Source | None:
    from tarkit.cache.opening import open_ref

    return open_ref(store, ref_id, open_source)


def _open_stream(location: Location, metadata_only: bool) -> Reader:
    keep_data = not metadata_only
    match location.transport:
        case Transport.DOCKER_ARCHIVE:
            from tarkit.transports.docker_archive.reader import DockerArchiveReader

            return DockerArchiveReader.from_stream(standard_input(), keep_data=keep_data)
        case Transport.OCI_ARCHIVE:
            from tarkit.transports.oci_archive.reader import OCIArchiveReader

            return OCIArchiveReader.from_stream(standard_input(), keep_data=keep_data)
        case _:
            raise _no_stream(location)


def _no_stream(location: Location) -> UsageError:
    return UsageError(f"{location.transport.value}: requires a directory, not a pipe")


@contextmanager
def open_source(
    location: AnyLocation,
    *,
    metadata_only: bool = False,
    follow_links: bool = False,
    registry: RegistryOptions | None = None,
) -> Iterator[Source]:
    """Open the image at *location*, and close it after the block.

    Parameters and errors are those of :func:`open_reader` and its ``source()``: also raises
    :class:`~tarkit.errors.ImageNotFoundError` if *location* names no image of the container, and
    :class:`~tarkit.errors.AmbiguousImageError` if it names none of several.

    >>> with tarkit.open_source("docker-archive:fixtures/hello.tar:hello:latest") as source:
    ...     source.manifest().is_index
    False
    """
    location = to_location(location)
    with open_reader(
        location, metadata_only=metadata_only, follow_links=follow_links, registry=registry
    ) as reader:
        yield reader.source(location.name, index=location.index)


@contextmanager
def opened(source: AnySource, *, registry: RegistryOptions | None = None) -> Iterator[Source]:
    """Yield *source* if it is open; otherwise open the location, and close it after the block."""
    if isinstance(source, Location | str | os.PathLike):
        with open_source(source, registry=registry) as image:
            yield image
    else:
        yield source


def open_writer(
    location: AnyLocation,
    *,
    docker_format: DockerFormat | None = None,
    docker_platform: Platform | None = None,
    verify_existing: bool = False,
    registry: RegistryOptions | None = None,
) -> Writer:
    """Open *location* for writing; the writer is a context manager that publishes on success.

    *docker_platform* is the platform of an index that older versions of Docker load from a docker
    archive, by default that of this machine.
    An existing archive is replaced; :func:`~tarkit.copying.existing.copy_existing` preserves its
    images. Layouts and registries keep their other images.

    Raises :class:`UsageError` if the location cannot be written to, and :class:`RefusedError` if
    the path contains anything but an image.

    Parameters:

    - *location*: a transport, path and optional name; a plain path is not enough.
    - *docker_format*: the format of a docker archive; by default one that every tool reads.
    - *verify_existing*: hash the blobs in a layout before they are reused.
    - *registry*: connection options and credentials.

    Returns the writer of the transport.

    >>> with tarkit.open_writer("oci:written") as writer:
    ...     writer.where
    'written'
    """
    location = to_location(location)
    if location.transport is Transport.ANY:
        require_transport(location)
        forms = [f"docker-archive:{location.path}", f"oci-archive:{location.path}"]
        forms = forms if location.is_stream else [f"oci:{location.path}", *forms]
        raise UsageError(
            f"no transport given for the destination {location.path!r}",
            hint=f"write {', '.join(forms[:-1])} or {forms[-1]}",
        )
    if location.index is not None:
        raise UsageError(f"cannot write to position @{location.index}", hint="use a name")
    if location.is_stream and location.transport in (Transport.OCI, Transport.DIR):
        raise _no_stream(location)
    with advised(location):
        return _open_writer(location, docker_format, docker_platform, verify_existing, registry)


def _open_writer(
    location: Location,
    docker_format: DockerFormat | None,
    docker_platform: Platform | None,
    verify_existing: bool,
    registry: RegistryOptions | None,
) -> Writer:
    match location.transport:
        case Transport.DOCKER_ARCHIVE:
            from tarkit.transports.docker_archive.format import DockerFormat
            from tarkit.transports.docker_archive.writer import DockerArchiveWriter

            return DockerArchiveWriter.open(
                location.path, docker_format or DockerFormat.DUAL, docker_platform
            )
        case Transport.OCI_ARCHIVE:
            from tarkit.transports.oci_archive.writer import OCIArchiveWriter

            return OCIArchiveWriter.open(location.path)
        case Transport.OCI:
            from tarkit.transports.oci_layout.writer import OCILayoutWriter

            return OCILayoutWriter.open(location.path, verify_existing=verify_existing)
        case Transport.DIR:
            from tarkit.transports.directory.writer import DirectoryWriter

            return DirectoryWriter.open(location.path)
        case Transport.REGISTRY:
            from tarkit.transports.registry.writer import RegistryWriter

            return RegistryWriter.open(location.path, registry)
        case Transport.DOCKER_DAEMON:
            from tarkit.transports.docker_archive.format import DockerFormat
            from tarkit.transports.docker_daemon.writer import DockerDaemonWriter

            return DockerDaemonWriter.open(
                format=docker_format or DockerFormat.DUAL, platform=docker_platform
            )
        case Transport.STORE:
            from tarkit.store.roots import store_root
            from tarkit.transports.store.writer import StoreWriter

            return StoreWriter.open(store_root(), verify_existing=verify_existing)
        case Transport.ANY:
            raise AssertionError("open_writer() refuses plain paths")
