"""An image of a classic docker archive: its config and layers, with a synthesized manifest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError, DigestMismatchError
from tarkit.image import media_types
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.patterns import lazy_pattern
from tarkit.tar.archive import Archive
from tarkit.tar.member import Member
from tarkit.transports.docker_archive.items import ManifestItem
from tarkit.transports.docker_archive.layers import describe_layer, layer_members

# Docker and skopeo write HEX.json, crane sha256:HEX, dual archives blobs/sha256/HEX.
_NAMED_BY_DIGEST = lazy_pattern(r"(?:.*/)?(?:sha256:)?([0-9a-f]{64})(?:\.json)?")


class ClassicImage:
    """The *config* and the layers of *item*, with a synthesized Docker schema 2 manifest.

    The layers are used as stored. Properties are computed on first use and cached.
    """

    def __init__(self, archive: Archive, item: ManifestItem, config: bytes) -> None:
        self.where = archive.where
        self.config = config
        self.archive = archive
        self._item = item

    @cached_property
    def members(self) -> dict[Digest, Member]:
        """The members that contain layers, by layer digest."""
        return {layer.digest: member for layer, member in self._layers.values()}

    @cached_property
    def _layers(self) -> dict[Digest, tuple[Descriptor, Member]]:
        """The descriptor and member of each layer, by diff ID."""
        found = layer_members(self.archive, self._item, self._diff_ids)
        # Describing a layer may mean reading it; use archive order, so that a compressed archive is
        # read only once.
        in_order = sorted(found.items(), key=lambda entry: entry[1][1].data_offset)
        return {
            diff_id: (
                describe_layer(
                    self.archive, path, member, diff_id, self._item.layer_sources.get(diff_id)
                ),
                member,
            )
            for diff_id, (path, member) in in_order
        }

    @cached_property
    def _diff_ids(self) -> tuple[Digest, ...]:
        where = f"{self.where}: config {self._item.config}"
        config = ImageConfig.parse(self.config, where=where)
        config.require_layers(len(self._item.layers), where=where)
        return config.diff_ids

    @cached_property
    def manifest(self) -> RawManifest:
        """The synthesized manifest."""
        return Manifest(
            media_type=media_types.DOCKER_MANIFEST,
            config=Descriptor.of(self.config, media_types.DOCKER_CONFIG),
            layers=tuple(self._layers[diff_id][0] for diff_id in self._diff_ids),
        ).serialize()


class ClassicSource:
    """A classic *image* under *names*, as a :class:`tarkit.protocols.Source`."""

    def __init__(self, image: ClassicImage, names: tuple[str, ...]) -> None:
        self.where = image.where
        self.names = names
        self._image = image

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the synthesized manifest.

        Raises :class:`BlobNotFoundError` if *digest* is given and is not its digest.
        """
        if digest not in (None, self._image.manifest.digest):
            raise BlobNotFoundError(f"manifest {digest} is not part of the image", where=self.where)
        return self._image.manifest

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the config or a layer, unverified."""
        member = self._image.members.get(descriptor.digest)
        if member is not None:
            return self._image.archive.open_member(member)
        # Not a member, because the config may be synthesized, too.
        if descriptor.digest.matches(self._image.config):
            import io

            return io.BytesIO(self._image.config)
        raise BlobNotFoundError(f"blob {descriptor.digest} is missing", where=self.where)

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """Return *blobs* in the order of the archive, or None if it supports random access."""
        if self._image.archive.random_access:
            return None
        return sorted(blobs, key=lambda blob: self._image.members[blob.digest].data_offset)


def read_config(archive: Archive, item: ManifestItem) -> bytes:
    """Return the bytes of *item*'s config.

    Raises :class:`DigestMismatchError` if its file name is the digest of other content.
    """
    data = archive.read(item.config, METADATA_LIMIT)
    claim = _NAMED_BY_DIGEST.fullmatch(item.config)
    if claim and (digest := Digest("sha256", claim[1])) != (actual := Digest.of(data)):
        raise DigestMismatchError(digest, actual, where=f"{archive.where}: config {item.config}")
    return data
