"""The options of operations on many images, and their result."""

from __future__ import annotations

import hashlib
import re
from dataclasses import field
from pathlib import Path
from typing import Self

from tarkit.copying.existing import Kept
from tarkit.copying.many import CopiedImage, FailedImage
from tarkit.copying.options import CopyOptions
from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.registry.options import RegistryOptions
from tarkit.values import dataclass

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``count``, counted from 1, of a set of images.

    The name of an image alone determines its part, so jobs that see different lists never leave out
    an image, and an image stays in its part if others are added.

    >>> shards = [tarkit.Shard.parse(text) for text in ("1/3", "2/3", "3/3")]
    >>> sum(shard.holds("docker://registry.example/app:1") for shard in shards)
    1
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``I/N``; raises :class:`UsageError` unless I is between 1 and N."""
        match = _SHARD.fullmatch(text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"{text!r} is not a shard", hint="write I/N, from 1/N to N/N")
        return cls(int(match[1]), int(match[2]))

    def holds(self, image: str) -> bool:
        """Return True if the image with the location *image* is in this part."""
        value = int.from_bytes(hashlib.sha256(image.encode()).digest()[:8])
        return value % self.count == self.number - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """Options for :func:`~tarkit.syncing.images.copy_images` and :func:`~tarkit.syncing.sync.sync`.

    - ``copy``: the options for each image.
    - ``all_images``: take every image of each source. ``sync`` always does.
    - ``tags``: a shell pattern for the tags that ``sync`` takes from a repository.
    - ``keep_going``: publish the good images if others fail.
    - ``prefix``: the first part of the images' new names.
    - ``scoped``: keep the domain and path of an image in its new name, not only the last component.
    - ``shard``: take only this part of the images.
    - ``docker_format``: the format of docker archives.
    - ``docker_platform``: the platform of an index that older versions of Docker load from a docker
      archive; by default that of this machine.
    - ``verify_existing``: verify existing blobs of the destination before reusing them.
    - ``follow_links``: follow links that lead out of a source layout.
    - ``store``: the directory of a store through which all sources are read: its content is neither
      downloaded nor decompressed again.
    - ``source_registry`` and ``destination_registry``: connection options and credentials.

    >>> options = tarkit.SyncOptions(prefix="registry.example/mirror", keep_going=True)
    >>> tarkit.copy_images(["fixtures/hello.tar"], "oci:mirror", options).images[0].names
    ('registry.example/mirror/hello:latest',)
    """

    copy: CopyOptions = field(default_factory=CopyOptions)
    all_images: bool = False
    tags: str | None = None
    keep_going: bool = False
    prefix: str = ""
    scoped: bool = False
    shard: Shard | None = None
    docker_format: DockerFormat | None = None
    docker_platform: Platform | None = None
    verify_existing: bool = False
    follow_links: bool = False
    store: Path | None = None
    source_registry: RegistryOptions | None = None
    destination_registry: RegistryOptions | None = None


@dataclass(frozen=True, slots=True)
class SyncResult:
    """The result of an operation on many images.

    - ``images``: the images that were copied, in order, and then those that had not changed.
    - ``failed``: the images that failed; empty unless ``keep_going`` was set.
    - ``kept``: the images of an existing archive that were kept.
    - ``notes``: messages about the whole operation.

    >>> result = tarkit.sync("oci:alpha/umoci-oci", "oci:mirror")
    >>> len(result.images), len(result.failed), result.bytes_written
    (2, 0, 32389)
    """

    images: tuple[CopiedImage, ...]
    failed: tuple[FailedImage, ...] = ()
    kept: Kept = field(default_factory=Kept)
    notes: tuple[str, ...] = ()

    @property
    def bytes_read(self) -> int:
        """Blob bytes read from all sources."""
        return sum(image.result.bytes_read for image in self.images if image.result)

    @property
    def bytes_written(self) -> int:
        """Blob bytes of new images written to the destination."""
        return sum(image.result.bytes_written for image in self.images if image.result)
