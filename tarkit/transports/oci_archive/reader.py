"""Read an OCI layout in a tar archive, in place."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.image.manifest import Index
from tarkit.layout.archive_files import ArchiveFiles, ArchiveSource
from tarkit.layout.layout import Layout
from tarkit.protocols import ImageEntry
from tarkit.tar.archive import Archive
from tarkit.tar.holder import ArchiveHolder


class OCIArchiveReader(ArchiveHolder):
    """The images of an OCI archive.

    >>> with tarkit.OCIArchiveReader.open("alpha/skopeo-oci-archive.tar") as reader:
    ...     len(reader.images())
    1
    """

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self._files = ArchiveFiles(archive)
        self.layout = Layout.read(self._files)

    def images(self) -> Sequence[ImageEntry]:
        """Return the images in the order of ``index.json``."""
        return self.layout.images()

    def listing(self) -> Index:
        """Return ``index.json`` as a list of images, with its annotations and unknown fields."""
        return self.layout.listing()

    def source(self, name: str | None = None, *, index: int | None = None) -> ArchiveSource:
        """Return the image with *name* or at *index*, or the only image."""
        image = self.layout.find(name, index)
        return ArchiveSource(self._files, self.layout, image.descriptor, image.names[:1])
