"""Save one image at any location, under its names, next to the images already there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.copying.engine import copy_image
from tarkit.copying.existing import keep_archive
from tarkit.copying.names import NameRules
from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.protocols import Source
from tarkit.transports.location import (
    AnyLocation,
    Transport,
    open_reader,
    open_writer,
    to_location,
)

if TYPE_CHECKING:
    from tarkit.transports.docker_archive.format import DockerFormat
    from tarkit.transports.registry.options import RegistryOptions

_ARCHIVES = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE)
_NAME_RULES = {
    Transport.DOCKER_ARCHIVE: NameRules.DOCKER,
    Transport.DOCKER_DAEMON: NameRules.DOCKER,
    Transport.REGISTRY: NameRules.EXPLICIT,
}  # other transports accept any name


def save_image(
    source: Source,
    location: AnyLocation,
    options: CopyOptions | None = None,
    *,
    names: Sequence[str] = (),
    docker_format: DockerFormat | None = None,
    registry: RegistryOptions | None = None,
) -> CopyResult:
    """Copy *source* to *location*, and keep the other images there.

    The copy gets the name in *location* and *names*, or else the names of *source* that the
    destination supports. An archive is rewritten with all its images; layouts and registries keep
    theirs. See :func:`~tarkit.transports.location.open_writer` and
    :func:`~tarkit.copying.engine.copy_image` for the errors.
    """
    source.manifest()  # fail on a missing image before creating the destination
    location = to_location(location)
    with open_writer(location, docker_format=docker_format, registry=registry) as writer:
        rules = _NAME_RULES.get(location.transport, NameRules.ANY)
        requested = [name for name in (location.name, *names) if name]
        chosen = rules.choose(requested, source.names)
        if location.transport in _ARCHIVES and not location.is_stream:
            keep_archive(
                Path(location.path),
                partial(open_reader, replace(location, name=None)),
                writer,
                except_names=chosen,
                rules=rules,
            )
        return copy_image(source, writer.destination(*chosen), options)
