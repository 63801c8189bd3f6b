"""Writing docker archives, dual or classic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.protocols import Destination, ImageEntry, Reader
from tarkit.transports.docker_archive.body import ArchiveBody, tagged_reference
from tarkit.transports.docker_archive.classic_writer import ClassicBody
from tarkit.transports.docker_archive.dual_writer import DualBody
from tarkit.transports.docker_archive.format import DockerFormat


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
