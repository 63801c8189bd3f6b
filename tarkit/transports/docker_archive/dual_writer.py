"""Write docker archives that are also OCI layouts.

Docker's classic image store, podman and skopeo read ``manifest.json``, but containerd reads
``index.json``. Both refer to the same blobs, and the original manifest is preserved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import blob_name
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveBlobs, ArchiveOutput
from tarkit.layout.destination import LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME
from tarkit.protocols import ImageEntry, Profile
from tarkit.transports.docker_archive.body import NamedImages, add_docker_files, require_sha256
from tarkit.transports.docker_archive.items import DockerImage, ManifestItem

PROFILE = Profile(
    media_types=MANIFESTS,
    default_compression={
        Compression.ZSTD: Compression.GZIP,  # Docker reads zstd only since version 23
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
    holds=frozenset({Compression.NONE, Compression.GZIP, Compression.ZSTD}),
    ordered=True,
    absent_layers=False,  # the daemon and podman load only complete images
    artifacts=False,
)


@dataclass(frozen=True, slots=True)
class _Image:
    """The ``top`` of an image, and its single-platform manifest ``shown`` in ``manifest.json``."""

    top: RawManifest
    shown: RawManifest


class _KeptImageDestination(LayoutDestination):
    """A destination that also passes every single-platform manifest to *on_platform*."""

    def __init__(
        self,
        where: str,
        profile: Profile,
        blobs: ArchiveBlobs,
        on_commit: Callable[[RawManifest], object],
        on_platform: Callable[[RawManifest], object],
    ) -> None:
        super().__init__(where, profile, blobs, on_commit)
        self._on_platform = on_platform

    def put_manifest(self, manifest: RawManifest) -> None:
        """Store *manifest*, and pass it to *on_platform* unless it is an index."""
        super().put_manifest(manifest)
        if not manifest.is_index:
            self._on_platform(manifest)


_KEEPING_PROFILE = replace(PROFILE, media_types=MANIFESTS | INDEXES)


class DualBody:
    """The images of a dual archive, as an ``ArchiveBody``."""

    def __init__(self, output: ArchiveOutput) -> None:
        self.output = output
        self._images = NamedImages[_Image]()

    def destination(self, references: tuple[Reference, ...]) -> LayoutDestination:
        """Return the destination of an image under *references*."""

        def add_image(manifest: RawManifest) -> None:
            self._add(_Image(manifest, manifest), references)

        return LayoutDestination(self.output.where, PROFILE, ArchiveBlobs(self.output), add_image)

    def keeping(self, image: ImageEntry, references: tuple[Reference, ...]) -> LayoutDestination:
        """Return the destination of *image*, which may be an index.

        ``manifest.json`` then lists the same platform of the image as before.
        """
        platforms: list[RawManifest] = []
        config = image.config if isinstance(image, DockerImage) else None

        def add_image(top: RawManifest) -> None:
            # The platform that the old manifest.json listed, or the first.
            named = [m for m in platforms if Manifest.parse(m).config.digest == config]
            self._add(_Image(top, next(iter(named or platforms))), references)

        blobs = ArchiveBlobs(self.output)
        return _KeptImageDestination(
            self.output.where, _KEEPING_PROFILE, blobs, add_image, platforms.append
        )

    def _add(self, image: _Image, references: tuple[Reference, ...]) -> None:
        require_sha256(Manifest.parse(image.shown).config.digest, self.output.where)
        self._images.add(image.top.digest, image, references)

    def finish(self) -> bool:
        """Append both tables of contents; return False if there are no images."""
        images = list(self._images)
        entries = [entry for image, names in images for entry in _entries(image.top, names)]
        self.output.add(INDEX_FILE, replace(EMPTY_INDEX, manifests=tuple(entries)).serialize().data)
        items = [_item(image.shown, names) for image, names in images]
        # Like Docker, identify the top layer by the hex digits of its digest.
        top_layers = {
            name: item.layers[-1].rpartition("/")[2]
            for item in items
            if item.layers
            for name in item.repo_tags
        }
        add_docker_files(self.output, items, top_layers)
        self.output.add(MARKER_FILE, MARKER)
        return bool(items)


def _entries(image: RawManifest, names: tuple[str, ...]) -> list[Descriptor]:
    """Return entries for ``index.json`` like Docker's: containerd's full name, and the tag."""
    return [
        replace(
            image.descriptor,
            annotations={CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]},
        )
        for name in names
    ] or [image.descriptor]


def _item(image: RawManifest, names: tuple[str, ...]) -> ManifestItem:
    manifest = Manifest.parse(image)
    return ManifestItem(
        config=blob_name(manifest.config.digest),
        repo_tags=names,
        layers=tuple(blob_name(layer.digest) for layer in manifest.layers),
    )
