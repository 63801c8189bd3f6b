"""The images of an archive that is being written, in the parts both formats share."""

from __future__ import annotations

from collections.abc import Iterator
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
    """What a format makes of the images it is given."""

    def destination(self, references: tuple[Reference, ...]) -> Destination:
        """Where one image goes, under those names."""
        ...

    def keeping(self, image: ImageEntry, references: tuple[Reference, ...]) -> Destination:
        """Return where *image*, which the archive holds already, goes under those names."""
        ...

    def finish(self) -> bool:
        """Append what comes last; false where there is no image."""
        ...


def tagged_reference(name: str) -> Reference:
    """*name* in full, with a tag; raises :class:`UsageError` for a digest, which no docker archive can hold."""
    reference = Reference.parse(name)
    if reference.digest:
        raise UsageError(f"{name!r} names a digest, and a docker archive knows images by tag only")
    return reference.tagged()


def require_sha256(config: Digest, where: str) -> None:
    """Raise :class:`UnsupportedError` for a *config* that Docker would know by another digest."""
    if config.algorithm != "sha256":
        raise UnsupportedError(
            f"the config is known by its {config.algorithm}, and Docker knows images by sha256",
            where=where,
            hint="copy to an OCI layout or archive",
        )


class NamedImages(Generic[_Image]):
    """The images of an archive being written, by digest, each with its names."""

    def __init__(self) -> None:
        self._images: dict[Digest, tuple[_Image, dict[str, None]]] = {}
        self._owners: dict[str, Digest] = {}

    def get(self, digest: Digest) -> _Image | None:
        """Return the image of *digest*, or None."""
        return self._images[digest][0] if digest in self._images else None

    def add(self, digest: Digest, image: _Image, references: tuple[Reference, ...]) -> None:
        """Add *image*, or only its names if it is here already.

        A name is taken from the image that had it. An image that loses its last name is dropped.
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
        """Every image with its names, in the order of their first commits."""
        return ((image, tuple(names)) for image, names in self._images.values())


def add_docker_files(
    output: ArchiveOutput, items: list[ManifestItem], top_layers: dict[str, str]
) -> None:
    """Append ``manifest.json``, and ``repositories`` with the *top_layers* by name."""
    output.add(MANIFEST_FILE, dump_json([item.to_json() for item in items]))
    repositories: dict[str, dict[str, str]] = {}
    for name, layer in sorted(top_layers.items()):
        repository, _, tag = name.rpartition(":")
        repositories.setdefault(repository, {})[tag] = layer
    output.add(REPOSITORIES_FILE, dump_json(repositories))
