"""Reading images from a Docker daemon."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import Self

from tarkit.errors import (
    AmbiguousImageError,
    DigestMismatchError,
    ImageNotFoundError,
    UsageError,
    listed,
)
from tarkit.image.digest import Digest, blob_name
from tarkit.protocols import ImageEntry, Source
from tarkit.streams.closeable import Closeable
from tarkit.tar.archive import Archive
from tarkit.transports.docker_archive.classic import read_config
from tarkit.transports.docker_archive.items import DockerImage
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.docker_daemon.client import DaemonClient, DaemonImage
from tarkit.transports.docker_daemon.daemon import Daemon
from tarkit.transports.docker_daemon.names import ID_PREFIX, asked_name
from tarkit.transports.docker_daemon.saving import saved_archive


class DockerDaemonReader(Closeable):
    """The images of a daemon. Each that is read arrives as a docker archive, and stays until the end."""

    def __init__(self, client: DaemonClient, *, keep_data: bool = True) -> None:
        self.where = client.where
        self._client = client
        self._keep_data = keep_data
        self._archives = ExitStack()

    @classmethod
    def open(cls, daemon: Daemon | None = None, *, keep_data: bool = True) -> Self:
        """Turn to *daemon*, or to the one that Docker's command line would speak to.

        Without *keep_data* only the metadata of images can be read. Nothing is asked yet.
        """
        return cls(DaemonClient(daemon or Daemon.find()), keep_data=keep_data)

    def images(self) -> Sequence[ImageEntry]:
        """The images there are, without a look into them; one without a name goes by its ID."""
        return tuple(
            ImageEntry(at, image.tags or (str(image.id),)) for at, image in enumerate(self._images)
        )

    @cached_property
    def _images(self) -> tuple[DaemonImage, ...]:
        return self._client.images()

    def source(self, name: str | None = None, *, index: int | None = None) -> Source:
        """The image of that *name* or ID (``sha256:…``), or position among :meth:`images`, or the only one.

        Raises :class:`ImageNotFoundError`, :class:`AmbiguousImageError`, and
        :class:`DigestMismatchError` for another image than the one that was asked for.
        """
        asked = self._asked(name, index)
        image = self._client.find(asked)
        archive = saved_archive(self._client, asked, keep_data=self._keep_data)
        reader = DockerArchiveReader(self._archives.enter_context(archive))
        if asked.startswith(ID_PREFIX) or "@" in asked:
            return reader.source(index=_position(reader, image.id))
        return reader.source(asked)

    def archive(self, name: str | None = None) -> Archive:
        """The docker archive that the daemon makes of an image, found as by :meth:`source`; the caller's to close."""
        asked = self._asked(name, None)
        self._client.find(asked)
        return saved_archive(self._client, asked, keep_data=self._keep_data)

    def _asked(self, name: str | None, index: int | None) -> str:
        return asked_name(self._chosen(index) if name is None else name)

    def _chosen(self, index: int | None) -> str:
        images = self.images()
        if index is not None and 0 <= index < len(images):
            return images[index].names[0]
        if index is None and len(images) == 1:
            return images[0].names[0]
        labels = list(map(_offered, self._images))
        if index is not None or not images:
            wanted = "no image" if index is None else f"no image @{index}"
            count = f"{len(images)} image{'' if len(images) == 1 else 's'}"
            raise ImageNotFoundError(
                f"{wanted}: the daemon has {count}", where=self.where, available=labels
            )
        raise AmbiguousImageError(
            f"the daemon has {len(images)} images and none was named",
            where=self.where,
            available=labels,
        )

    def close(self) -> None:
        """Close the spooled archives."""
        self._archives.close()


def _offered(image: DaemonImage) -> str:
    """Return a name that selects *image*: a tag that is one, or else its ID."""
    for tag in image.tags:
        with suppress(UsageError):
            asked_name(tag)
            return tag
    return str(image.id)


def _position(reader: DockerArchiveReader, image_id: Digest) -> int:
    """Return where in the archive the image *image_id* is: by its config, or by its manifest or index.

    An index of which the daemon has one platform is in the archive, but is not the image there.
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
