"""The parts that are common to the writers of both docker archive formats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

from tarkit.errors import UnsupportedError, UsageError
from tarkit.image.digest import Digest
from tarkit.image.document import dump_json
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import Destination, ImageEntry
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.items import ManifestItem

_Image = TypeVar("_Image")


class ArchiveBody(Protocol):
    """Writes the content of an archive in one format."""

    def destination(self, references: tuple[Reference, ...]) -> Destination:
        """Return the destination of an image under the names *references*."""
        ...

    def keeping(self, image: ImageEntry, references: tuple[Reference, ...]) -> Destination:
        """Return the destination of *image*, kept from the old archive, under *references*."""
        ...

    def blob_name(self, digest: Digest) -> str:
        """Return the name of the member that holds the layer or other blob with *digest*."""
        ...

    def undoing(self) -> AbstractContextManager[None]:
        """Return a block for writing one image; forget what it wrote if it raises."""
        ...

    def finish(self) -> bool:
        """Append the tables of contents; return False if the archive has no images."""
        ...


def tagged_reference(name: str) -> Reference:
    """Return *name* as a full reference with a tag.

    Raises :class:`UsageError` if it has a digest, because docker archives name images by tag only.
    """
    reference = Reference.parse(name)
    if reference.digest:
        raise UsageError(f"{name!r} has a digest, but docker archives name images by tag only")
    return reference.tagged()


def require_sha256(config: Digest, where: str) -> None:
    """Raise :class:`UnsupportedError` unless *config*, the image ID, is a sha256 digest."""
    if config.algorithm != "sha256":
        raise UnsupportedError(
            f"the config has a {config.algorithm} digest, but Docker identifies images by sha256",
            where=where,
            hint="copy to an OCI layout or archive",
        )


class NamedImages(Generic[_Image]):
    """The images of an archive that is being written, by digest, each with its names."""

    def __init__(self) -> None:
        self._images: dict[Digest, tuple[_Image, dict[str, None]]] = {}
        self._owners: dict[str, Digest] = {}

    def get(self, digest: Digest) -> _Image | None:
        """Return the image with *digest*, or None if it is missing."""
        return self._images[digest][0] if digest in self._images else None

    def add(self, digest: Digest, image: _Image, references: tuple[Reference, ...]) -> None:
        """Add *image*, or only its names if the image is already present.

        Each name moves here from the image that had it before; an image that loses its last name is
        dropped.
        """
        _, names = self._images.setdefault(digest, (image, {}))
        for name in map(str, references):
            owner = self._owners.get(name, digest)
            if owner != digest:
                self._take(name, owner)
            self._owners[name] = digest
            names[name] = None

    def _take(self, name: str, owner: Digest) -> None:
        _, names = self._images[owner]
        del names[name]
        if not names:
            del self._images[owner]

    def __iter__(self) -> Iterator[tuple[_Image, tuple[str, ...]]]:
        """Iterate over the images and their names, in the order in which they were added."""
        return ((image, tuple(names)) for image, names in self._images.values())


def add_docker_files(
    output: ArchiveOutput, items: list[ManifestItem], top_layers: dict[str, str]
) -> None:
    """Append ``manifest.json`` and ``repositories``, which maps each name to its top layer."""
    output.add(MANIFEST_FILE, dump_json([item.to_json() for item in items]))
    repositories: dict[str, dict[str, str]] = {}
    for name, layer in sorted(top_layers.items()):
        repository, _, tag = name.rpartition(":")  # names are full references with a tag
        repositories.setdefault(repository, {})[tag] = layer
    output.add(REPOSITORIES_FILE, dump_json(repositories))
