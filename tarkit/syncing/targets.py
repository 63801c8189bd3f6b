"""The destination of an operation on many images: its location, its writer and its names."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Self

from tarkit.copying.existing import Kept, keep_archive
from tarkit.copying.known import KnownLayers
from tarkit.copying.names import NameRules
from tarkit.errors import UsageError
from tarkit.image.reference import Reference
from tarkit.protocols import Writer
from tarkit.syncing.naming import Naming
from tarkit.syncing.options import SyncOptions
from tarkit.transports.location import (
    AnyLocation,
    Location,
    Transport,
    open_reader,
    open_writer,
)
from tarkit.values import dataclass, replace

ARCHIVES = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE)
_DOCKER = (Transport.DOCKER_ARCHIVE, Transport.DOCKER_DAEMON)
_REGISTRY = "docker://"


@dataclass(frozen=True, slots=True)
class Target:
    """A destination for many images.

    ``location`` is that of the container; in a registry, only its transport counts, because
    ``naming`` returns full names.
    """

    location: Location
    naming: Naming
    options: SyncOptions

    @classmethod
    def parse(cls, destination: AnyLocation, options: SyncOptions) -> Self:
        """Parse *destination*. Raises :class:`UsageError` if it cannot hold many images.

        ``docker://HOST/PREFIX/``, with a slash at its end, is a prefix for repositories.
        """
        text = str(destination)
        if text.startswith(_REGISTRY):
            return cls._in_registry(text.removeprefix(_REGISTRY), options)
        location = Location.parse(text)
        if location.transport is Transport.DIR:
            raise UsageError(
                "a directory of the transport dir: holds one image",
                where=text,
                hint="use an OCI layout: oci:DIRECTORY",
            )
        if location.name is not None or location.index is not None:
            raise UsageError(
                "several images cannot share one name",
                where=text,
                hint="name only the archive, layout or repository; images keep their names",
            )
        prefix = options.prefix.strip("/")
        if options.scoped and not prefix:
            raise UsageError("scoped names need --prefix, or a registry as the destination")
        rules = NameRules.DOCKER if location.transport in _DOCKER else NameRules.ANY
        return cls(location, Naming(rules, prefix, scoped=options.scoped), options)

    @classmethod
    def _in_registry(cls, name: str, options: SyncOptions) -> Self:
        prefix = options.prefix.strip("/")
        if name.endswith("/"):
            base = "/".join(part for part in (name.rstrip("/"), prefix) if part)
            repository = Reference.parse(f"{base}/x").repository  # checks the prefix
            naming = Naming(
                NameRules.EXPLICIT, repository.removesuffix("/x"), scoped=options.scoped
            )
            return cls(Location(Transport.REGISTRY, naming.prefix), naming, options)
        if prefix or options.scoped:
            raise UsageError(
                "--prefix and --scoped need a registry or a prefix as the destination",
                hint=f"write {_REGISTRY}{name}/ with a slash at its end",
            )
        reference = Reference.parse(name)
        if reference.tag or reference.digest:
            raise UsageError(
                "several images cannot share one name",
                where=_REGISTRY + name,
                hint=f"write {_REGISTRY}{reference.repository}, or a prefix that ends with a slash",
            )
        naming = Naming(NameRules.EXPLICIT, repository=reference.repository)
        return cls(Location(Transport.REGISTRY, reference.repository), naming, options)

    @property
    def in_registry(self) -> bool:
        """True if the destination is in a registry."""
        return self.location.transport is Transport.REGISTRY

    @property
    def is_archive(self) -> bool:
        """True if the destination is an archive file, which is rewritten as a whole."""
        return self.location.transport in ARCHIVES and not self.location.is_stream

    def located(self, name: str) -> Location:
        """Return the location of the image that is called *name* at this destination."""
        if self.in_registry:
            return Location.parse(_REGISTRY + name)
        return replace(self.location, name=name)

    def writer(self) -> AbstractContextManager[Writer]:
        """Open the destination for writing."""
        if self.in_registry:
            from tarkit.transports.registry.images_writer import RegistryImagesWriter

            return RegistryImagesWriter(
                self.options.destination_registry, keep_going=self.options.keep_going
            )
        return open_writer(
            self.location,
            docker_format=self.options.docker_format,
            docker_platform=self.options.docker_platform,
            verify_existing=self.options.verify_existing,
        )

    def keep_existing(self, writer: Writer, names: Collection[str], known: KnownLayers) -> Kept:
        """Copy the images of an existing archive to *writer*, except those that lose *names*.

        Their layers are added to *known*.
        """
        if not self.is_archive:
            return Kept()
        return keep_archive(
            Path(self.location.path),
            partial(open_reader, self.location),
            writer,
            except_names=names,
            rules=self.naming.rules,
            known=known,
            verify=self.options.verify_existing,
        )
