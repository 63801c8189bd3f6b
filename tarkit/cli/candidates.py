"""Candidates for completion: locations, the images in them, and the paths in those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tarkit.errors import TarkitError
from tarkit.transports.location import Location, Transport, open_reader, open_source

_MOST_READ = 256 << 20  # bytes of layers to read for completing a path
_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le")
_FILES = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE, Transport.OCI, Transport.DIR)
_NAMED = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE, Transport.OCI)


def locations(text: str) -> Iterator[str]:
    """Yield locations that begin with *text*: transports, files, and the names of images."""
    prefix, colon, path = text.partition(":")
    transport = next((each for each in _FILES if colon and each.value == prefix), None)
    if transport is None:
        if not colon and "/" not in text:
            for each in Transport:
                yield f"{each.value}://" if each is Transport.REGISTRY else f"{each.value}:"
        yield from list_files(text)
        return
    place, second, _ = path.partition(":")
    if not second:
        directories = transport in (Transport.OCI, Transport.DIR)
        for found in list_files(path):
            if found.endswith("/") or not directories:
                yield f"{prefix}:{found}"
    if place and transport in _NAMED:
        yield from (f"{prefix}:{place}:{name}" for name in _image_names(transport, place))


def _image_names(transport: Transport, path: str) -> Iterator[str]:
    """Yield the names of the images at *path*; none if it holds no such images."""
    if not Path(path).exists():
        return
    try:
        with open_reader(Location(transport, path), metadata_only=True) as reader:
            for entry in reader.images():
                yield from entry.names or (f"@{entry.index}",)
    except TarkitError:
        return


def list_files(text: str) -> Iterator[str]:
    """Yield the files and directories whose paths begin with *text*; directories end with a slash."""
    head, slash, name = text.rpartition("/")
    try:
        entries = sorted(Path(f"{head}{slash}" or ".").expanduser().iterdir())
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(".") or name.startswith("."):
            yield f"{head}{slash}{entry.name}{'/' if entry.is_dir() else ''}"


def image_paths(context: Any, text: str) -> Iterator[str]:
    """Yield paths that begin with *text* in the image that the command line names.

    There are none if the image is in a registry or on a pipe, or if reading it takes long.
    """
    from tarkit.rootfs.filesystem import FileSystem
    from tarkit.selection.inspect import inspect_image
    from tarkit.tar.member import MemberType

    try:
        location = Location.parse(context.params["source"])
    except TarkitError:
        return
    remote = location.transport in (Transport.REGISTRY, Transport.DOCKER_DAEMON)
    if remote or location.is_stream:
        return
    head, slash, _ = text.rpartition("/")
    directory = "/" + head.strip("/")
    try:
        with open_source(location) as image:
            platform = context.params.get("platform")
            if inspect_image(image, platform).size > _MOST_READ:
                return
            with FileSystem.of(image, platform=platform) as files:
                for entry in files.walk(directory):
                    name = entry.path.removeprefix(directory).lstrip("/")
                    if name and "/" not in name:
                        end = "/" if entry.type is MemberType.DIRECTORY else ""
                        yield f"{head}{slash}{name}{end}"
    except TarkitError:
        return


def platforms(context: Any, text: str) -> Iterable[str]:
    """Return frequent platforms."""
    return _PLATFORMS
