"""Writing an OCI layout straight into a tar, ``index.json`` last."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import RawManifest
from tarkit.layout.archive_output import ArchiveBlobs, ArchiveOutput
from tarkit.layout.destination import ARCHIVE_PROFILE, LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE


class OCIArchiveWriter:
    """Makes an OCI archive of any number of images, in place of the file that may be at *path*."""

    def __init__(self, output: ArchiveOutput) -> None:
        self.where = output.where
        self._output = output
        self._entries: list[Descriptor] = []

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Begin writing to *path*, or to standard output where that is ``-``."""
        return cls(ArchiveOutput(path))

    def destination(self, *names: str) -> LayoutDestination:
        """See :class:`tarkit.transports.base.Writer`."""

        def list_it(manifest: RawManifest) -> None:
            self._entries += named_entries(manifest, names)

        return LayoutDestination(self.where, ARCHIVE_PROFILE, ArchiveBlobs(self._output), list_it)

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
            if kind is None and self._entries:
                output.add(INDEX_FILE, with_entries(EMPTY_INDEX, self._entries).serialize().data)
                output.add(MARKER_FILE, MARKER)
                output.publish()
