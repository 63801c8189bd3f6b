"""Results of builds as sources of images, for the copy engine."""

from __future__ import annotations

import io
from typing import BinaryIO

from tarkit.cache.facts import UNCOMPRESSED
from tarkit.cache.refs import ImmutableRef
from tarkit.cache.remotes import Remote
from tarkit.errors import BlobNotFoundError
from tarkit.exporters.config import LayerFacts, image_config
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.media_types import Compression
from tarkit.image.platform import Platform
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A result: its files, None if there are none, its platform, and its config if it has one."""

    ref: ImmutableRef | None
    platform: Platform
    config: bytes | None = None


@dataclass(frozen=True, slots=True)
class BuiltImages:
    """All results of a build; with ``is_index``, they are images of an index."""

    images: tuple[BuiltImage, ...]
    is_index: bool = False


class ImageSource:
    """The images of a build as a :class:`~tarkit.protocols.Source`; layers without blobs get them now."""

    where = "the build"
    names: tuple[str, ...] = ()

    def __init__(self, built: BuiltImages, compression: Compression, *, force: bool) -> None:
        self._blobs: dict[Digest, bytes] = {}
        self._remotes: dict[Digest, Remote] = {}
        self._manifests: dict[Digest, RawManifest] = {}
        self.configs: list[Descriptor] = []
        entries = []
        for image in built.images:
            raw = self._add(image, compression, force)
            entries.append(replace(raw.descriptor, platform=image.platform))
            self._top = raw
        if built.is_index:
            self._top = Index(media_types.OCI_INDEX, tuple(entries)).serialize()

    def _add(self, image: BuiltImage, compression: Compression, force: bool) -> RawManifest:
        facts, layers = [], []
        if image.ref is not None:
            (remote,) = image.ref.get_remotes(create=True, compression=compression, force=force)
            with image.ref.layer_chain() as chain:
                for ref, descriptor in zip(chain, remote.descriptors, strict=True):
                    diff_id = Digest.parse(descriptor.annotations[UNCOMPRESSED])
                    facts.append(LayerFacts(diff_id, ref.created_at, ref.description))
                    layers.append(_without_notes(descriptor))
                    self._remotes[descriptor.digest] = remote
        data = image_config(image.config, image.platform, facts)
        config = Descriptor.of(data, media_types.OCI_CONFIG)
        self._blobs[config.digest] = data
        self.configs.append(config)
        raw = Manifest(media_types.OCI_MANIFEST, config, tuple(layers)).serialize()
        self._manifests[raw.digest] = raw
        return raw

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """See :class:`tarkit.protocols.Source`."""
        if digest in (None, self._top.digest):
            return self._top
        found = self._manifests.get(digest)
        if found is None:
            raise BlobNotFoundError(f"no manifest {digest}", where=self.where)
        return found

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """See :class:`tarkit.protocols.Source`."""
        data = self._blobs.get(descriptor.digest)
        if data is not None:
            return io.BytesIO(data)
        remote = self._remotes.get(descriptor.digest)
        if remote is None:
            raise BlobNotFoundError(f"no layer {descriptor.digest}", where=self.where)
        return remote.open_blob(descriptor)


_INTERNAL = (UNCOMPRESSED, "buildkit/createdat")


def _without_notes(layer: Descriptor) -> Descriptor:
    """Return a layer without the annotations that only a cache needs."""
    kept = {
        name: value
        for name, value in layer.annotations.items()
        if name not in _INTERNAL and not name.startswith("containerd.io/distribution.source.")
    }
    return replace(layer, annotations=kept)
