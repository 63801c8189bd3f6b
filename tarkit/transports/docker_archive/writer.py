"""Writing docker archives: the format, and what both formats have in common."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from tarkit.errors import UnsupportedError, UsageError
from tarkit.image.digest import Digest
from tarkit.image.document import dump_json
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.transports.base import Destination
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE, DockerFormat

if TYPE_CHECKING:
    from tarkit.transports.docker_archive.items import ManifestItem

_Image = TypeVar("_Image", bound="Named")


class Contents(Protocol):
    """What a format makes of the images it is given."""

    def destination(self, references: tuple[Reference, ...]) -> Destination:
        """Where one image goes, under those names."""
        ...

    def finish(self) -> bool:
        """Append what comes last; false where there is no image."""
        ...


class DockerArchiveWriter:
    """Makes a docker archive of any number of images, in place of the file that may be at its path.

    Layers that images share are stored once; an image that is committed twice is one item with
    the names of both.
    """

    def __init__(self, output: ArchiveOutput, contents: Contents) -> None:
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
        from tarkit.transports.docker_archive.classic_writer import ClassicContents
        from tarkit.transports.docker_archive.dual_writer import DualContents

        kind = DualContents if format is DockerFormat.DUAL else ClassicContents
        return cls(output, kind(output))

    def destination(self, *names: str) -> Destination:
        """See :class:`tarkit.transports.base.Writer`; raises :class:`UsageError` for what Docker takes for no name."""
        return self._contents.destination(tuple(dict.fromkeys(map(tagged_reference, names))))

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


def tagged_reference(name: str) -> Reference:
    """*name* in full, with a tag; raises :class:`UsageError` for a digest, which no docker archive can hold."""
    reference = Reference.parse(name)
    if reference.digest:
        raise UsageError(f"{name!r} names a digest, and a docker archive knows images by tag only")
    return reference.tagged()


class Named(Protocol):
    """An image of an archive being written, by its names there."""

    names: list[str]


def require_sha256(config: Digest, where: str) -> None:
    """Raise :class:`UnsupportedError` for a *config* that Docker would know by another digest."""
    if config.algorithm != "sha256":
        raise UnsupportedError(
            f"the config is known by its {config.algorithm}, and Docker knows images by sha256",
            where=where,
            hint="copy to an OCI layout or archive",
        )


def give_names(
    images: dict[Digest, _Image], digest: Digest, references: tuple[Reference, ...]
) -> None:
    """Give the image of *digest* the names of *references*.

    A name is taken from whoever had it, and an image that loses its last one is dropped.
    """
    names = list(map(str, references))
    for other in images.keys() - {digest}:
        kept = [name for name in images[other].names if name not in names]
        if images[other].names and not kept:
            del images[other]
        else:
            images[other].names = kept
    images[digest].names = list(dict.fromkeys([*images[digest].names, *names]))


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
