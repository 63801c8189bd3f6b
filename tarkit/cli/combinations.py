"""Refuse options that would have no effect on the given locations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tarkit.errors import UsageError
from tarkit.transports.location import Location, Transport

_WITHOUT_DIRECTORY = (
    Transport.DOCKER_ARCHIVE,
    Transport.OCI_ARCHIVE,
    Transport.REGISTRY,
    Transport.DOCKER_DAEMON,
    Transport.STORE,
)
_DOCKER_ARCHIVES = (Transport.DOCKER_ARCHIVE, Transport.DOCKER_DAEMON)


def require_effect(option: str, *, given: bool, applies: bool, to: str) -> None:
    """Raise :class:`UsageError` if *option* is given, but does not apply."""
    if given and not applies:
        raise UsageError(f"{option} has no effect: it applies to {to}")


def check_reading(
    *locations: Location,
    given: Mapping[str, bool] = MappingProxyType({}),
    follow_links: bool = False,
) -> None:
    """Refuse options for reading *locations* that apply to none of them.

    *given* maps the names of the options for registries to True if they are given.
    """
    remote = any(location.transport is Transport.REGISTRY for location in locations)
    for option, value in given.items():
        require_effect(option, given=value, applies=remote, to="registries, docker://NAME")
    linked = any(map(_may_hold_links, locations))
    require_effect(
        "--follow-links", given=follow_links, applies=linked, to="layouts in directories"
    )


def check_copying(
    sources: Sequence[Location],
    destination: Location,
    *,
    src_creds: object,
    dest_creds: object,
    follow_links: bool,
    tags: bool,
    docker_format: bool,
    verify_existing: bool,
) -> None:
    """Refuse options of a copy that do not apply to its sources or destination."""
    to = destination.transport
    check_reading(*sources, follow_links=follow_links)
    registry = Transport.REGISTRY
    from_registry = any(source.transport is registry for source in sources)
    for option, value, applies, kind in (
        ("--src-creds", src_creds is not None, from_registry, "a registry as source"),
        ("--dest-creds", dest_creds is not None, to is registry, "a registry as destination"),
        ("--tag", tags, to is not Transport.DIR, "destinations with names, and dir: has none"),
        ("--docker-format", docker_format, to in _DOCKER_ARCHIVES, "docker archives"),
        ("--verify-existing", verify_existing, to is Transport.OCI, "layouts, oci:DIRECTORY"),
    ):
        require_effect(option, given=value, applies=applies, to=kind)


def _may_hold_links(location: Location) -> bool:
    is_file = location.transport is Transport.ANY and Path(location.path).is_file()
    return location.transport not in _WITHOUT_DIRECTORY and not (is_file or location.is_stream)
