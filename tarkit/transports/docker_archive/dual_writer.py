"""Write docker archives that are also OCI layouts.

Docker's classic image store, podman and skopeo read ``manifest.json``, but containerd reads
``index.json``. Both refer to the same blobs, and the original manifest is preserved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from tarkit.errors import ImageNotFoundError
from tarkit.image.attestation import is_attestation
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest, blob_name
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression
from tarkit.image.platform import Platform
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveBlobs, ArchiveOutput
from tarkit.layout.destination import LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME
from tarkit.protocols import ImageEntry, Profile
from tarkit.transports.docker_archive.body import NamedImages, add_docker_files, require_sha256
from tarkit.transports.docker_archive.items import DockerImage, ManifestItem
from tarkit.values import dataclass, replace

PROFILE = Profile(
    media_types=MANIFESTS | INDEXES,
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


_Platforms = Mapping[Digest, Platform | None]
_Shown = Callable[[_Platforms, Sequence[RawManifest]], RawManifest]
"""Chooses the one for ``manifest.json`` from the manifests of an index, with their platforms."""


class DualDestination(LayoutDestination):
    """The destination of an image or index, of which *shown* chooses one platform for older Docker.

    ``notes`` says which one that is.
    """

    def __init__(
        self,
        output: ArchiveOutput,
        shown: _Shown,
        on_commit: Callable[[_Image], object],
    ) -> None:
        super().__init__(output.where, PROFILE, ArchiveBlobs(output), self._add)
        self._shown = shown
        self._on_image = on_commit
        self._images: list[RawManifest] = []
        self._platforms: dict[Digest, Platform | None] = {}
        self.notes: list[str] = []

    def put_manifest(self, manifest: RawManifest) -> None:
        """Store *manifest*, and pass it to *on_platform* unless it is an index."""
        super().put_manifest(manifest)
        if manifest.is_index:
            self._platforms |= _platforms(manifest)
        else:
            self._images.append(manifest)

    def _add(self, top: RawManifest) -> None:
        shown = self._shown(self._platforms, self._images) if top.is_index else top
        if top.is_index:
            self.notes.append(_note(self._platforms, shown))
        self._on_image(_Image(top, shown))


class DualBody:
    """The images of a dual archive, as an ``ArchiveBody``.

    ``manifest.json`` lists *platform* of each index, by default that of this machine.
    """

    def __init__(self, output: ArchiveOutput, platform: Platform | None = None) -> None:
        self.output = output
        self._platform = platform
        self._images = NamedImages[_Image]()

    def destination(self, references: tuple[Reference, ...]) -> DualDestination:
        """Return the destination of an image or index under *references*."""
        return self._destination(references, self._for_platform)

    def keeping(self, image: ImageEntry, references: tuple[Reference, ...]) -> DualDestination:
        """Return the destination of *image*, which may be an index.

        ``manifest.json`` then lists the same platform of the image as before.
        """
        config = image.config if isinstance(image, DockerImage) else None

        def as_before(platforms: _Platforms, images: Sequence[RawManifest]) -> RawManifest:
            # The platform that the old manifest.json listed, or the first.
            named = [m for m in images if Manifest.parse(m).config.digest == config]
            return next(iter(named or images))

        return self._destination(references, as_before)

    def _destination(self, references: tuple[Reference, ...], shown: _Shown) -> DualDestination:
        return DualDestination(self.output, shown, lambda image: self._add(image, references))

    def _for_platform(self, platforms: _Platforms, images: Sequence[RawManifest]) -> RawManifest:
        """Return the manifest for the requested platform; by default, of this machine or the first."""
        real = [image for image in images if image.digest in platforms]
        offered = [platforms[image.digest] for image in real]
        position = (self._platform or Platform.system()).choose(offered)
        if position is not None:
            return real[position]
        if self._platform is not None or not images:
            raise ImageNotFoundError(
                f"no image for {self._platform or Platform.system()}",
                where=self.output.where,
                available=[str(platform) for platform in offered if platform],
            )
        return next(iter(real or images))

    def _add(self, image: _Image, references: tuple[Reference, ...]) -> None:
        require_sha256(Manifest.parse(image.shown).config.digest, self.output.where)
        self._images.add(image.top.digest, image, references)

    def blob_name(self, digest: Digest) -> str:
        """Return the name of the member that holds the layer or other blob with *digest*."""
        return blob_name(digest)

    def undoing(self) -> AbstractContextManager[None]:
        """Return a block without effect: images are added only by their commit."""
        return nullcontext()

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


def _platforms(top: RawManifest) -> dict[Digest, Platform | None]:
    """Return the platforms of the images in the index *top* by digest, without attestations."""
    return {
        child.digest: child.platform
        for child in Index.parse(top, strict=False).manifests
        if not is_attestation(child)
    }


def _note(platforms: _Platforms, shown: RawManifest) -> str:
    platform = platforms.get(shown.digest)
    texts = dict.fromkeys(str(found) for found in platforms.values() if found)
    loads = f"{platform}" if platform else f"the image {shown.digest}"
    return (
        f"Docker without the containerd image store loads {loads}; "
        f"the OCI half holds {', '.join(texts) or 'the whole index'}"
    )


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
