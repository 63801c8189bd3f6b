"""An image of a classic docker archive: config and layers, under a synthesized manifest."""

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

_NAMED_BY_DIGEST = lazy_pattern(r"(?:.*/)?(?:sha256:)?([0-9a-f]{64})(?:\.json)?")


class ClassicImage:
    """The bytes of a *config* and the layers of *item*, under a synthesized Docker schema 2 manifest.

    The layers are used as stored. Properties are computed on first use and cached.
    """

    def __init__(self, archive: Archive, item: ManifestItem, config: bytes) -> None:
        self.where = archive.where
        self.config = config
        self.archive = archive
        self._item = item

    @cached_property
    def members(self) -> dict[Digest, Member]:
        """The members that hold layers, by layer digest."""
        return {layer.digest: member for layer, member in self._layers.values()}

    @cached_property
    def _layers(self) -> dict[Digest, tuple[Descriptor, Member]]:
        """Each layer's descriptor and member, by diff ID."""
        found = layer_members(self.archive, self._item, self._diff_ids)
        # Describing a layer may read it; archive order avoids seeking back in compressed archives.
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
    """A classic *image* under *names*; see :class:`tarkit.protocols.Source`."""

    def __init__(self, image: ClassicImage, names: tuple[str, ...]) -> None:
        self.where = image.where
        self.names = names
        self._image = image

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """See :class:`tarkit.protocols.Source`."""
        if digest not in (None, self._image.manifest.digest):
            raise BlobNotFoundError(f"manifest {digest} is not part of the image", where=self.where)
        return self._image.manifest

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """See :class:`tarkit.protocols.Source`."""
        member = self._image.members.get(descriptor.digest)
        if member is not None:
            return self._image.archive.open_member(member)
        if descriptor.digest.matches(self._image.config):
            import io

            return io.BytesIO(self._image.config)
        raise BlobNotFoundError(f"blob {descriptor.digest} is missing", where=self.where)

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """See :class:`tarkit.protocols.SequentialSource`."""
        if self._image.archive.random_access:
            return None
        return sorted(blobs, key=lambda blob: self._image.members[blob.digest].data_offset)


def read_config(archive: Archive, item: ManifestItem) -> bytes:
    """Return the bytes of *item*'s config.

    Raises :class:`DigestMismatchError` if its file name is a different digest.
    """
    data = archive.read(item.config, METADATA_LIMIT)
    claim = _NAMED_BY_DIGEST.fullmatch(item.config)
    if claim and (digest := Digest("sha256", claim[1])) != (actual := Digest.of(data)):
        raise DigestMismatchError(digest, actual, where=f"{archive.where}: config {item.config}")
    return data
