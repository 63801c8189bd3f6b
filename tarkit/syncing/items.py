"""The images to move: one item for each, named by the user or found in its container."""

from __future__ import annotations

from collections.abc import Callable

from tarkit.errors import UsageError
from tarkit.image.reference import Reference
from tarkit.transports.location import Location, Transport
from tarkit.transports.registry.options import RegistryOptions
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Item:
    """An image: its ``location``, its ``names`` there, and the names it was ``renamed`` to, if any."""

    location: Location
    names: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    registry: RegistryOptions | None = None

    @property
    def label(self) -> str:
        """The location with the name of the image, for messages."""
        if self.location.index is None or not self.names:
            return str(self.location)
        return str(replace(self.location, index=None, name=self.names[0]))


@dataclass(frozen=True, slots=True)
class Repository:
    """All images of the repository at ``location`` whose tags are ``wanted``."""

    location: Location
    wanted: Callable[[str], bool]
    registry: RegistryOptions | None = None


def in_registry(location: Location, registry: RegistryOptions | None = None) -> Item:
    """Return the image at *location*, whose name includes the registry."""
    reference = Reference.parse(str(location).removeprefix("docker://")).tagged()
    name = f"@{reference.digest}" if not reference.tag else reference.tag
    full = str(reference)
    return Item(replace(location, name=name.removeprefix("@")), (full,), registry=registry)


def require_container(location: Location) -> None:
    """Raise :class:`UsageError` if *location* names a single image."""
    if location.name is not None or location.index is not None:
        raise UsageError("names one image, but all images were requested", where=str(location))


def is_registry(location: Location) -> bool:
    """Return True if *location* is in a registry."""
    return location.transport is Transport.REGISTRY
