"""Save one image at any location, under its names, next to the images already there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tarkit.copying.engine import copy_image
from tarkit.copying.existing import Kept, keep_archive
from tarkit.copying.known import KnownLayers
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
from tarkit.values import dataclass, replace

if TYPE_CHECKING:
    from tarkit.image.platform import Platform
    from tarkit.transports.docker_archive.format import DockerFormat
    from tarkit.transports.registry.options import RegistryOptions

_ARCHIVES = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE)
_NAME_RULES = {
    Transport.DOCKER_ARCHIVE: NameRules.DOCKER,
    Transport.DOCKER_DAEMON: NameRules.DOCKER,
    Transport.REGISTRY: NameRules.EXPLICIT,
}  # other transports accept any name


@dataclass(frozen=True, slots=True)
class SavedImage:
    """The result of :func:`save_image`.

    ``names`` are the names of the copy, ``kept`` the images that the destination held before.
    """

    copy: CopyResult
    names: tuple[str, ...]
    kept: Kept


def save_image(
    source: Source,
    location: AnyLocation,
    options: CopyOptions | None = None,
    *,
    names: Sequence[str] = (),
    referrers: bool = False,
    docker_format: DockerFormat | None = None,
    docker_platform: Platform | None = None,
    verify_existing: bool = False,
    registry: RegistryOptions | None = None,
) -> SavedImage:
    """Copy *source* to *location*, and keep the other images there.

    The copy gets the name in *location* and *names*, or else the names of *source* that the
    destination supports. An archive is rewritten with all its images; layouts and registries keep
    theirs. With *referrers*, signatures and other referrers follow. See
    :func:`~tarkit.transports.location.open_writer` and
    :func:`~tarkit.copying.engine.copy_image` for the other parameters and the errors.
    """
    options = options or CopyOptions()
    source.manifest()  # fail on a missing image before creating the destination
    location = to_location(location)
    rules = _NAME_RULES.get(location.transport, NameRules.ANY)
    named = [location.name] if location.name else []
    chosen = rules.choose([*named, *names], source.names)
    kept, known = Kept(), KnownLayers()
    with open_writer(
        location,
        docker_format=docker_format,
        docker_platform=docker_platform,
        verify_existing=verify_existing,
        registry=registry,
    ) as writer:
        if location.transport in _ARCHIVES and not location.is_stream:
            kept = keep_archive(
                Path(location.path),
                partial(open_reader, replace(location, name=None)),
                writer,
                except_names=chosen,
                rules=rules,
                known=known,
                verify=verify_existing,
            )
        if referrers:
            from tarkit.copying.referrers import copy_referrers, require_referrers

            require_referrers(source, writer)
        result = copy_image(source, writer.destination(*chosen), options, known=known)
        if referrers:
            count = copy_referrers(source, writer, result.descriptor, options)
            text = f"copied {count} referrer{'' if count == 1 else 's'}"
            result = replace(result, notes=(*result.notes, text))
    return SavedImage(result, tuple(chosen), kept)
