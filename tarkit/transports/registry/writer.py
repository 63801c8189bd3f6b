"""A repository of a registry as a Writer."""

from __future__ import annotations

from typing import Self

from tarkit.image.reference import Reference
from tarkit.streams.closeable import Closeable
from tarkit.transports.registry.destination import RegistryDestination
from tarkit.transports.registry.names import named
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.repository import Repository


class RegistryWriter(Closeable):
    """Writes images to a repository, as a :class:`tarkit.protocols.Writer`.

    Committing an image sets its tags after all its blobs and manifests have been stored.
    """

    def __init__(self, repository: Repository, reference: Reference) -> None:
        self.where = repository.name
        self._repository = repository
        self._reference = reference

    @classmethod
    def open(cls, repository: str, options: RegistryOptions | None = None) -> Self:
        """Open *repository*, such as ``registry.example/app``, without connecting yet."""
        reference = Reference.parse(repository)
        connected = Repository.connect(reference, options or RegistryOptions(), "pull,push")
        return cls(connected, reference)

    def destination(self, *names: str) -> RegistryDestination:
        """Return the destination of an image; the default name is the tag ``latest``."""
        references = [named(self._reference, name) for name in names or (None,)]
        return RegistryDestination(self._repository, references)

    def referrer(self) -> RegistryDestination:
        """Return a Destination for one artifact, which becomes a referrer of its subject."""
        return RegistryDestination(self._repository, ())

    def close(self) -> None:
        """Close the connections."""
        self._repository.client.close()
