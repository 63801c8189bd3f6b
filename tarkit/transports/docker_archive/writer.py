"""Writing docker archives: the format, and what both formats have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from tarkit.errors import UnsupportedError, UsageError
from tarkit.image.digest import Digest
from tarkit.image.document import dump_json
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import Destination, ImageEntry, Reader
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE, DockerFormat

if TYPE_CHECKING:
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


class DockerArchiveWriter:
    """Makes a docker archive of any number of images, in place of the file that may be at its path.

    Layers that images share are stored once; an image that is committed twice is one item with
    the names of both.
    """

    def __init__(self, output: ArchiveOutput, contents: ArchiveBody) -> None:
        self.where = output.where
        self._output = output
        self._contents = contents

    @classmethod
    def open(cls, path: str | Path, format: DockerFormat = DockerFormat.DUAL) -> Self:
        """Begin writing to *path*, or to standard output where that is ``-``."""
        return cls.over(ArchiveOutput(path), format)

    @classmethod
    def over(cls, output: ArchiveOutput, format: DockerFormat) -> Self:
        """Begin to fill *output*."""
        from tarkit.transports.docker_archive.classic_writer import ClassicBody
        from tarkit.transports.docker_archive.dual_writer import DualBody

        kind = DualBody if format is DockerFormat.DUAL else ClassicBody
        return cls(output, kind(output))

    def destination(self, *names: str) -> Destination:
        """See :class:`tarkit.protocols.Writer`; raises :class:`UsageError` for what Docker takes for no name."""
        return self._contents.destination(_references(names))

    def keep_list(self, reader: Reader) -> None:
        """Keep nothing: a docker archive says nothing of all its images together."""

    def keeping(self, image: ImageEntry, names: Sequence[str]) -> Destination:
        """See :class:`tarkit.protocols.KeepingWriter`; an index is kept in the OCI half."""
        return self._contents.keeping(image, _references(names))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish the archive, unless the block ended in an error or nothing was committed."""
        with self._output as output:
            if kind is None and self._contents.finish():
                output.publish()


def _references(names: Sequence[str]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(map(tagged_reference, names)))


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
