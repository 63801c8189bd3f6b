"""Read images from a Docker daemon."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Self

from tarkit.errors import DigestMismatchError, UsageError, listed
from tarkit.image.digest import Digest, blob_name
from tarkit.protocols import ImageEntry, Source
from tarkit.selection.catalog import EXACT, Catalog
from tarkit.streams.closeable import Closeable
from tarkit.tar.archive import Archive
from tarkit.transports.docker_archive.classic import read_config
from tarkit.transports.docker_archive.items import DockerImage
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.docker_daemon.client import DaemonClient, DaemonImage
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.names import ID_PREFIX, lookup_name, tag_name
from tarkit.transports.docker_daemon.saving import saved_archive


class DockerDaemonReader(Closeable):
    """The images of a daemon; archives of the images read are kept until the reader closes."""

    def __init__(self, client: DaemonClient, *, keep_data: bool = True) -> None:
        self.where = client.where
        self._client = client
        self._keep_data = keep_data
        self._archives = ExitStack()

    @classmethod
    def open(cls, daemon: Daemon | None = None, *, keep_data: bool = True) -> Self:
        """Open *daemon*, by default the one of Docker's command line; send no request yet.

        Unless *keep_data* is true, only the metadata of images can be read.
        """
        return cls(DaemonClient(daemon or Daemon.find()), keep_data=keep_data)

    def images(self) -> Sequence[ImageEntry]:
        """Return all images with their tags, or with an ID if they have none; download nothing."""
        return tuple(
            ImageEntry(at, image.tags or (str(image.id),)) for at, image in enumerate(self._images)
        )

    def matching(self, name: str) -> Sequence[ImageEntry]:
        """Return the entries of :meth:`Reader.images` that *name* selects."""
        found = self._client.find(lookup_name(name)).id
        entries = zip(self.images(), self._images, strict=True)
        return [entry for entry, image in entries if image.id == found]

    @cached_property
    def _images(self) -> tuple[DaemonImage, ...]:
        return self._client.images()

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """Return the image with *name* or ID (``sha256:…``) or at *index*, or the only image.

        Raises :class:`ImageNotFoundError` or :class:`AmbiguousImageError` unless exactly one image
        matches, and :class:`DigestMismatchError` if the daemon sends a different image.
        """
        wanted = self._lookup_name(name, index)
        image = self._client.find(wanted)
        archive = saved_archive(self._client, wanted, keep_data=self._keep_data)
        reader = DockerArchiveReader(self._archives.enter_context(archive))
        # An archive saved by ID or digest does not state the requested name.
        if wanted.startswith(ID_PREFIX) or "@" in wanted:
            return reader.source(index=_position(reader, image.id))
        return reader.source(wanted)

    def archive(self, name: str | None = None) -> Archive:
        """Save the image *name*, or the only image, as a docker archive; the caller closes it."""
        wanted = self._lookup_name(name, None)
        self._client.find(wanted)
        return saved_archive(self._client, wanted, keep_data=self._keep_data)

    def tag(self, name: str | None, index: int | None, names: Sequence[str]) -> Digest:
        """Give the image, selected as by :meth:`source`, also *names*; return its ID.

        Raises :class:`ImageNotFoundError`, and :class:`UsageError` for a digest or an ID.
        """
        references = [tag_name(text) for text in names]
        image = self._client.find(self._lookup_name(name, index))
        for reference in references:
            self._client.tag(str(image.id), reference.repository, reference.tag)
        return image.id

    def _lookup_name(self, name: str | None, index: int | None) -> str:
        # The daemon resolves names itself, so not all images have to be listed.
        if name is None:
            name = self._catalog.choose(None, index)[0].names[0]
        return lookup_name(name)

    @cached_property
    def _catalog(self) -> Catalog[ImageEntry]:
        images = [ImageEntry(at, _selectors(image)) for at, image in enumerate(self._images)]
        return Catalog(images, (EXACT,), where=self.where)

    def close(self) -> None:
        """Close the spooled archives."""
        self._archives.close()


def _selectors(image: DaemonImage) -> tuple[str, ...]:
    """Return the names that select *image*: its valid tags, or its ID if it has none."""
    return tuple(filter(_is_name, image.tags)) or (str(image.id),)


def _is_name(tag: str) -> bool:
    try:
        lookup_name(tag)
    except UsageError:
        return False
    return True


def _position(reader: DockerArchiveReader, image_id: Digest) -> int:
    """Return the position of the image whose config, manifest or index has the digest *image_id*.

    If the daemon has only one platform of an index, the archive lists the manifest of that platform
    and contains the index merely as a blob.
    """
    images = [image for image in reader.catalog.images if isinstance(image, DockerImage)]
    configs = [_config(reader, image) for image in images]
    for image, config in zip(images, configs, strict=True):
        if image_id == config or (image.top and image.top.digest == image_id):
            return image.index
    if len(images) == 1 and reader.archive.candidates(blob_name(image_id)):
        return images[0].index
    raise DigestMismatchError(image_id, listed(list(map(str, configs))), where=reader.where)


def _config(reader: DockerArchiveReader, image: DockerImage) -> Digest | None:
    if image.config is None and image.item is not None:
        return Digest.of(read_config(reader.archive, image.item))
    return image.config
