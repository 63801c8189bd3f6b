"""Write docker archives, dual or classic."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import AdoptedBytes, Destination, ImageEntry, Reader
from tarkit.streams.closeable import Publishing
from tarkit.tar.holder import ArchiveHolder
from tarkit.transports.docker_archive.body import ArchiveBody, tagged_reference
from tarkit.transports.docker_archive.classic_writer import ClassicBody
from tarkit.transports.docker_archive.dual_writer import DualBody
from tarkit.transports.docker_archive.format import DockerFormat


class DockerArchiveWriter(Publishing):
    """Writes a docker archive of any number of images, replacing an existing file.

    Shared layers are stored once. If an image is committed twice, it becomes one item with the
    names of both commits.

    >>> with (
    ...     tarkit.open_source("fixtures/hello.tar") as source,
    ...     tarkit.DockerArchiveWriter.open("docker.tar") as writer,
    ... ):
    ...     _ = tarkit.copy_image(source, writer.destination("example.org/hello:1"))
    """

    def __init__(self, output: ArchiveOutput, body: ArchiveBody) -> None:
        self.where = output.where
        self._output = output
        self._body = body

    @classmethod
    def open(
        cls,
        path: str | Path,
        format: DockerFormat = DockerFormat.DUAL,
        platform: Platform | None = None,
    ) -> Self:
        """Begin writing to *path*, or to standard output if that is ``-``.

        The docker half of a dual archive has one platform of an index: *platform*, or by default
        that of this machine or, if the image lacks it, the first.
        """
        return cls.over(ArchiveOutput(path), format, platform)

    @classmethod
    def over(
        cls, output: ArchiveOutput, format: DockerFormat, platform: Platform | None = None
    ) -> Self:
        """Begin writing to *output*."""
        if format is DockerFormat.DUAL:
            return cls(output, DualBody(output, platform))
        return cls(output, ClassicBody(output))

    def destination(self, *names: str) -> Destination:
        """Return the destination of an image; raise :class:`UsageError` for an invalid name."""
        return self._body.destination(_references(names))

    def keep_list(self, reader: Reader) -> None:
        """Do nothing, because docker archives have no metadata except that of their images."""

    def keeping(self, image: ImageEntry, names: Sequence[str]) -> Destination:
        """Return the destination of *image*; the OCI half of a dual archive keeps its index."""
        return self._body.keeping(image, _references(names))

    def adopt(self, reader: Reader, digests: Collection[Digest]) -> AdoptedBytes:
        """Store those blobs of *reader* with *digests* that can be moved; the others are left out."""
        if not isinstance(reader, ArchiveHolder):
            return AdoptedBytes()
        return self._output.adopt(reader.archive, digests, self._body.blob_name)

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Return a block for storing one image; if it raises, the stored data is removed again."""
        with self._output.undoing(), self._body.undoing():
            yield

    def _end(self, succeeded: bool) -> None:
        """Publish the archive, unless the block raised an error or nothing was committed."""
        with self._output as output:
            if succeeded and self._body.finish():
                output.publish()


def _references(names: Sequence[str]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(map(tagged_reference, names)))
