"""A repository of a registry as a Reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from tarkit.errors import UsageError
from tarkit.image.reference import Reference
from tarkit.protocols import ImageEntry
from tarkit.selection.catalog import EXACT, Catalog
from tarkit.streams.closeable import Closeable
from tarkit.transports.registry.names import named
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.source import RegistrySource
from tarkit.transports.registry.tags import list_tags


class RegistryReader(Closeable):
    """The images of a repository, as a :class:`tarkit.protocols.Reader`."""

    def __init__(self, repository: Repository, reference: Reference) -> None:
        self.where = repository.name
        self._repository = repository
        self._reference = reference
        self._images: tuple[ImageEntry, ...] | None = None

    @classmethod
    def open(cls, repository: str, options: RegistryOptions | None = None) -> Self:
        """Open *repository*, such as ``registry.example/app``, without connecting yet."""
        reference = Reference.parse(repository)
        return cls(Repository.connect(reference, options or RegistryOptions(), "pull"), reference)

    def images(self) -> Sequence[ImageEntry]:
        """Return an entry with the full name for each tag; request no manifests."""
        if self._images is None:
            tags = enumerate(list_tags(self._repository))
            self._images = tuple(ImageEntry(at, (f"{self.where}:{tag}",)) for at, tag in tags)
        return self._images

    def matching(self, name: str) -> Sequence[ImageEntry]:
        """Return the entries that *name* selects; raises :class:`UsageError` for a digest."""
        wanted = named(self._reference, name)
        if wanted.digest:
            raise UsageError(
                f"a registry lists tags, not digests: {wanted}",
                hint=f"'tarkit inspect docker://{wanted}' shows the image",
            )
        entries = self.images()
        catalog = Catalog(entries, (EXACT,), where=self.where)
        return (catalog.choose(str(wanted), None)[0],)

    def source(self, name: str | None = None, *, index: int | None = None) -> RegistrySource:
        """Return the image *name* or at *index*; the default is the tag ``latest``."""
        if index is not None:
            catalog = Catalog(self.images(), (EXACT,), where=self.where)
            name = catalog.choose(None, index)[0].names[0]
        return RegistrySource(self._repository, named(self._reference, name))

    def close(self) -> None:
        """Close the connections."""
        self._repository.client.close()
