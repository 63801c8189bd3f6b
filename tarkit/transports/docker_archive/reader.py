"""Read docker archives of all versions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from tarkit.errors import MalformedError, TruncatedError
from tarkit.image.document import METADATA_LIMIT
from tarkit.protocols import ImageEntry, Source
from tarkit.selection.catalog import Catalog
from tarkit.tar.archive import Archive
from tarkit.tar.holder import ArchiveHolder
from tarkit.transports.docker_archive.classic import ClassicImage, ClassicSource, read_config
from tarkit.transports.docker_archive.dual import OCIHalf
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.images import images_of
from tarkit.transports.docker_archive.items import (
    DockerImage,
    ManifestItem,
    UnreadableItem,
    catalog_of,
    choose_image,
    parse_items,
)

if TYPE_CHECKING:
    from tarkit.transports.docker_archive.legacy import LegacyLayers


class DockerArchiveReader(ArchiveHolder):
    """The images of a docker archive of any version.

    ``manifest`` contains the readable items of ``manifest.json``, unchanged.

    >>> with tarkit.DockerArchiveReader.open("fixtures/hello.tar") as reader:
    ...     reader.manifest[0].repo_tags
    ('hello:latest',)
    """

    manifest: tuple[ManifestItem, ...]

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self._is_legacy = not archive.candidates(MANIFEST_FILE) and bool(
            archive.candidates(REPOSITORIES_FILE)
        )
        self._latest: tuple[object, ClassicImage] | None = None
        self._items = self._read_items()
        self.manifest = tuple(item for item in self._items if isinstance(item, ManifestItem))

    def _read_items(self) -> Sequence[ManifestItem | UnreadableItem]:
        if self._is_legacy:
            from tarkit.transports.docker_archive.legacy import legacy_items

            return legacy_items(self.archive)
        if self.archive.candidates(MANIFEST_FILE):
            data = self.archive.read(MANIFEST_FILE, METADATA_LIMIT)
            return parse_items(data, where=f"{self.where}: {MANIFEST_FILE}")
        # Writers append manifest.json last; if the end of the archive is missing, it may be cut
        # off.
        if not self.archive.trailer:
            raise TruncatedError(
                "truncated: the archive ends before manifest.json", where=self.where
            )
        raise MalformedError("not a docker archive: manifest.json is missing", where=self.where)

    @property
    def is_legacy(self) -> bool:
        """True if the archive is from before Docker 1.10, without a ``manifest.json``."""
        return self._is_legacy

    @property
    def half(self) -> OCIHalf | None:
        """The OCI half of the archive, or None if there is none."""
        return self._half

    def position(self, image: DockerImage) -> int | None:
        """Return the position of *image*'s item in ``manifest.json``, or None if it has no item."""
        return next((at for at, item in enumerate(self._items) if item is image.item), None)

    @cached_property
    def _half(self) -> OCIHalf | None:
        """The OCI half of the archive, or None."""
        return None if self._is_legacy else OCIHalf.of(self.archive, alone=len(self._items) == 1)

    @cached_property
    def catalog(self) -> Catalog[DockerImage]:
        """The images of the archive, by position and by name."""
        images = images_of(self._items, self.archive, self._half)
        return catalog_of(images, where=self.where)

    @cached_property
    def _legacy(self) -> LegacyLayers:
        from tarkit.transports.docker_archive.legacy import LegacyLayers

        return LegacyLayers(self.archive)

    def images(self) -> Sequence[ImageEntry]:
        """Return all images: the items of ``manifest.json`` first."""
        return self.catalog.images

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """Return the image with *name* or at *index*, or the only image.

        Raises the errors of :func:`choose_image`, and the error of the image if it is unreadable.
        """
        image, by_name = choose_image(self.catalog, name, index, where=self.where)
        if image.error is not None:
            raise image.error
        names = image.names if by_name is None else (by_name,)
        if image.top is not None and self._half is not None:
            return self._half.source(image.top, names)
        assert image.item is not None  # every image is in at least one half
        return ClassicSource(self._classic(image.item), names)

    def _classic(self, item: ManifestItem) -> ClassicImage:
        """Return the image of *item*, cached: an archive may tag an image thousands of times."""
        key = item.config, item.layers
        if self._latest is None or self._latest[0] != key:
            if self._is_legacy:
                image = self._legacy.image(item)
            else:
                image = ClassicImage(self.archive, item, read_config(self.archive, item))
            self._latest = key, image
        return self._latest[1]
