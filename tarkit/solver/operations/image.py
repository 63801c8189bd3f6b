"""Images: from registries, and from any location that stands for an OCI layout."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from tarkit.cache.facts import UNCOMPRESSED, RecordType
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import DescHandler, RefOptions
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import DigestMismatchError, NotAnImageError, NotFoundError
from tarkit.image.config import ImageConfig
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.platform import Platform
from tarkit.llb.messages import Op
from tarkit.protocols import Source
from tarkit.selection.select import read_image_config, select_image
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.operations import vertex_platform
from tarkit.solver.keys.sources import image_map, layer_limit
from tarkit.solver.operation import Ref, Report
from tarkit.solver.operations.opened import OpenedImages, digest_in
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image that a reference stands for: its manifest, and its config.

    ``digest`` is that of the index if the reference names one, and ``location`` opens it again.
    """

    location: str
    source: Source
    digest: Digest
    manifest: Manifest
    config: ImageConfig


class ImageOperation:
    """An image, whose layers are only fetched when something reads them."""

    def __init__(self, op: Op, manager: CacheManager, images: OpenedImages, name: str) -> None:
        assert op.source is not None
        self._op, self._source = op, op.source
        self._manager, self._images = manager, images
        self._name = name
        self._found: FoundImage | None = None

    def cache_map(self) -> CacheMap:
        """Find the image; see :class:`~tarkit.solver.operation.Operation`."""
        layer_limit(self._source)  # refused before anything is opened
        platform = vertex_platform(self._op)
        found = self._found = find_image(
            self._source.identifier, self._location(), self._images, platform
        )
        expected = self._source.attrs.get("image.checksum")
        if expected and expected != str(found.digest):
            raise DigestMismatchError(expected, found.digest, where=self._name)
        return image_map(self._op, str(found.digest), found.config.diff_ids)

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """See :class:`~tarkit.solver.operation.Operation`."""
        found = self._found
        assert found is not None
        limit = layer_limit(self._source)
        layers = found.manifest.layers[:limit]
        diff_ids = found.config.diff_ids[:limit]
        with ExitStack() as stack:
            ref: ImmutableRef | None = None
            for layer, diff_id in zip(layers, diff_ids, strict=True):
                ref = self._layer(found, layer, diff_id, ref)
                stack.enter_context(ref)
            return [ref.clone() if ref is not None else None]

    def _layer(
        self, found: FoundImage, layer: Descriptor, diff_id: Digest, parent: ImmutableRef | None
    ) -> ImmutableRef:
        internal = self._source.attrs.get("image.recordtype") == "internal"
        handler = DescHandler(found.source, found.location)
        options = RefOptions(
            description=f"pulled from {self._name}",
            image_ref=self._source.identifier.partition("://")[2],
            record_type=RecordType.INTERNAL if internal else None,
            handlers={layer.digest: handler},
        )
        annotations = {**layer.annotations, UNCOMPRESSED: str(diff_id)}
        return self._manager.get_by_blob(replace(layer, annotations=annotations), parent, options)

    def _location(self) -> str:
        return location_of(
            self._source.identifier, self._source.attrs.get("oci.store", ""), self._images
        )


def location_of(identifier: str, store: str, images: OpenedImages) -> str:
    """Return the location of a source's image; raises NotFoundError if the store is not offered."""
    scheme, _, reference = identifier.partition("://")
    if scheme == "docker-image":
        return f"docker://{reference}"
    name = store or reference.partition("@")[0]
    if name not in images.layouts:
        raise NotFoundError(
            f"no access to the OCI layout {name[:80]!r}", where=identifier[:200],
            hint="give its location to the build",
        )  # fmt: skip
    return images.layouts[name]


def find_image(
    identifier: str, location: str, images: OpenedImages, platform: Platform | None
) -> FoundImage:
    """Return the image of *identifier* at *location* for *platform*.

    Raises the errors of opening it, :class:`~tarkit.errors.ImageNotFoundError` if there is none for the
    platform, and :class:`~tarkit.errors.NotAnImageError`.
    """
    source = images.open(location)
    wanted = digest_in(identifier)
    raw = source.manifest()
    if wanted is not None and wanted != raw.digest:
        raw = source.manifest(wanted)
        source = _Below(source, raw)
    manifest = Manifest.parse(select_image(source, platform))
    config = read_image_config(source, manifest)
    if config is None:
        raise NotAnImageError("is an artifact, not an image", where=source.where)
    return FoundImage(location, source, raw.digest, manifest, config)


class _Below:
    """A manifest or index of *source* as a source of its own."""

    def __init__(self, source: Source, raw: RawManifest) -> None:
        self._raw = raw
        self._source = source
        self.where = source.where
        self.names: tuple[str, ...] = ()
        self.open_blob = source.open_blob

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """See :class:`tarkit.protocols.Source`."""
        return self._raw if digest in (None, self._raw.digest) else self._source.manifest(digest)
