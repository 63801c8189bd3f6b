"""Open a location to serve it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from tarkit.errors import UsageError
from tarkit.protocols import Reader
from tarkit.serving.contents import ServedImages, ServedLayout
from tarkit.serving.names import RegistryNaming
from tarkit.serving.writable import WritableLayout
from tarkit.streams.codecs import decompress
from tarkit.streams.files import open_regular
from tarkit.tar.holder import ArchiveHolder
from tarkit.transports.location import Location, Transport, open_reader
from tarkit.transports.oci_layout.reader import OCILayoutReader
from tarkit.values import replace

_REMOTE = (Transport.REGISTRY, Transport.DOCKER_DAEMON)


def open_contents(
    location: Location | Path | str, *, writable: bool, name: str | None, follow_links: bool
) -> ServedImages:
    """Open *location*; see :meth:`tarkit.serving.server.RegistryServer.open`."""
    location = (
        Location.parse(os.fspath(location)) if not isinstance(location, Location) else location
    )
    _require_files(location)
    naming = RegistryNaming.of(Path(location.path).absolute().name, name)
    if writable:
        if location.transport not in (Transport.OCI, Transport.ANY) or _is_file(location):
            raise UsageError(
                f"cannot push to {location}", hint="--writable needs a layout, oci:DIR"
            )
        return WritableLayout.open(Path(location.path), naming)
    with ExitStack() as stack:
        reader = stack.enter_context(open_reader(location, follow_links=follow_links))
        if isinstance(reader, OCILayoutReader):
            return ServedLayout(Path(location.path), naming, follow_links=follow_links)
        contents = ServedImages(_randomly_readable(reader, location), naming)
        stack.pop_all()
        return contents


def _require_files(location: Location) -> None:
    if location.transport in _REMOTE:
        raise UsageError(
            f"cannot serve {location}: it is not a file or directory",
            hint="copy it to a layout first",
        )
    if location.is_stream:
        raise UsageError("cannot serve a pipe", hint="save it to a file first")
    if location.name is not None or location.index is not None:
        whole = replace(location, name=None, index=None)
        raise UsageError("all images are served, not one", hint=f"write {whole}")


def _is_file(location: Location) -> bool:
    return Path(location.path).is_file()


def _randomly_readable(reader: Reader, location: Location) -> Reader:
    """Return *reader*, or one of the decompressed archive: clients read blobs in any order.

    The decompressed archive is in an unnamed temporary file.
    """
    if not isinstance(reader, ArchiveHolder) or reader.archive.random_access:
        return reader
    with reader, open_regular(Path(location.path)) as file:
        plain = decompress(file, reader.archive.compression, where=location.path)
        return type(reader).from_stream(plain)
