"""Reading docker archives of every age."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import MalformedError, TruncatedError
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.tar.archive import Archive
from tarkit.tar.holder import ArchiveHolder
from tarkit.transports.base import ImageEntry, Source
from tarkit.transports.docker_archive.classic import ClassicSource, read_config
from tarkit.transports.docker_archive.dual import dual_source
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.items import ManifestItem, choose_item, parse_items
from tarkit.transports.docker_archive.legacy import (
    LegacyLayers,
    legacy_items,
)


class DockerArchiveReader(ArchiveHolder):
    """The images of a docker archive of any age.

    ``manifest`` holds the items of ``manifest.json`` as they are.
    """

    manifest: tuple[ManifestItem, ...]

    def __init__(self, archive: Archive) -> None:
        super().__init__(archive)
        self._is_legacy = not archive.candidates(MANIFEST_FILE) and bool(
            archive.candidates(REPOSITORIES_FILE)
        )
        self._legacy = LegacyLayers(archive)
        self.manifest = self._read_items()

    def _read_items(self) -> tuple[ManifestItem, ...]:
        if self._is_legacy:
            return legacy_items(self.archive)
        if self.archive.candidates(MANIFEST_FILE):
            data = self.archive.read(MANIFEST_FILE, METADATA_LIMIT)
            return parse_items(data, where=f"{self.where}: {MANIFEST_FILE}")
        if not self.archive.trailer:
            raise TruncatedError(
                "the archive is cut short before its manifest.json", where=self.where
            )
        raise MalformedError("no manifest.json, so this is not a docker archive", where=self.where)

    def images(self) -> Sequence[ImageEntry]:
        """See :class:`tarkit.transports.base.Reader`."""
        return tuple(ImageEntry(at, item.repo_tags) for at, item in enumerate(self.manifest))

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """See :class:`tarkit.transports.base.Reader`."""
        position, names = choose_item(self.manifest, name, index, where=self.where)
        item = self.manifest[position]
        if self._is_legacy:
            return self._legacy.source(item, names)
        config = Digest.of(read_config(self.archive, item))
        return dual_source(self.archive, config, names) or ClassicSource(self.archive, item, names)
