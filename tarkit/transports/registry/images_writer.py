"""Several repositories of a registry as a Writer that publishes after all blobs are stored."""

from __future__ import annotations

from tarkit.errors import CancelledError, TarkitError, UsageError, listed
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.reference import Reference
from tarkit.streams.closeable import Publishing
from tarkit.transports.registry.destination import RegistryDestination, send_manifests
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.pending import PendingImage, PendingManifests
from tarkit.transports.registry.repository import Repository


class RegistryImagesWriter(Publishing):
    """Writes images to any repositories; see :class:`tarkit.protocols.Writer`.

    No manifest is sent before the block ends without an error. Then all images are published in the
    order of their commits. Images of one repository should follow each other, because only one
    repository is connected at a time. A blob that was stored in one repository is mounted in the
    others of the same registry.

    If *keep_going* is true, images that the registry rejects are in ``rejected`` by their names,
    and the others are published.
    """

    where = "the registry"

    def __init__(self, options: RegistryOptions | None = None, *, keep_going: bool = False) -> None:
        self._options = options or RegistryOptions()
        self._keep_going = keep_going
        self._repository: Repository | None = None
        self._pending = PendingManifests()
        self._homes: dict[tuple[str, Digest], str] = {}
        self.rejected: dict[tuple[str, ...], TarkitError] = {}
        self.notes: list[str] = []

    def destination(self, *names: str) -> PendingDestination:
        """Return a Destination for one image with *names*, full names in one repository."""
        references = [Reference.parse(name).tagged() for name in names]
        if len({reference.repository for reference in references}) != 1:
            raise UsageError("names in one repository are needed")
        repository = self._connected(references[0])
        return PendingDestination(repository, references, self._pending, self._homes)

    def _connected(self, reference: Reference) -> Repository:
        if self._repository is None or self._repository.name != reference.repository:
            self._disconnect()
            self._repository = Repository.connect(reference, self._options, "pull,push")
        return self._repository

    def _disconnect(self) -> None:
        if self._repository is not None:
            self._repository.client.close()
            self._repository = None

    def _end(self, succeeded: bool) -> None:
        """Publish the committed images, unless the block raised an error."""
        try:
            if succeeded:
                self._publish()
        finally:
            self._disconnect()
            self._pending.close()

    def _publish(self) -> None:
        done: list[str] = []
        for image in self._pending.images:
            try:
                self._send(image)
            except TarkitError as error:
                if not self._keep_going or isinstance(error, CancelledError):
                    published = _published(done, len(self._pending.images))
                    error.hint = f"{error.hint}; {published}" if error.hint else published
                    raise
                self.rejected[image.names] = error
            else:
                done.append(image.names[0])

    def _send(self, image: PendingImage) -> None:
        repository = self._connected(image.references[0])
        manifests = list(self._pending.manifests(image))
        self.notes += send_manifests(repository, image.references, manifests)


def _published(names: list[str], total: int) -> str:
    if not names:
        return "no image was published"
    return f"{len(names)} of {total} images were published: {listed(names)}"


class PendingDestination(RegistryDestination):
    """The destination of one image, whose manifests wait in *pending*.

    *homes* holds the path of a repository for each blob that this operation stored, by domain.
    """

    def __init__(
        self,
        repository: Repository,
        references: list[Reference],
        pending: PendingManifests,
        homes: dict[tuple[str, Digest], str],
    ) -> None:
        super().__init__(repository, references)
        self._pending = pending
        self._homes = homes

    def _origins(self, digest: Digest) -> list[str]:
        home = self._homes.get((self._repository.domain, digest))
        paths = [home] if home and home != self._repository.path else []
        return paths + super()._origins(digest)

    def _holds(self, digest: Digest) -> None:
        self._homes.setdefault((self._repository.domain, digest), self._repository.path)

    def commit(self) -> Descriptor:
        """Keep the manifests until all images are complete; raises the errors of the base class."""
        manifests = self._complete()
        self._pending.add(self._references, manifests)
        return manifests[-1].descriptor
