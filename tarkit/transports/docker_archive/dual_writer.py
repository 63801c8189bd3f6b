"""Docker archives that are OCI layouts too: every consumer finds the image, its name and its digests.

Docker's classic store, podman and skopeo read ``manifest.json``, containerd reads ``index.json``:
both name the same blobs, and the original manifest is among them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest, blob_name
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.media_types import MANIFESTS, Compression
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveBlobs, ArchiveOutput
from tarkit.layout.destination import LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME
from tarkit.transports.base import Profile
from tarkit.transports.docker_archive.items import ManifestItem
from tarkit.transports.docker_archive.writer import add_docker_files, give_names, require_sha256

PROFILE = Profile(
    media_types=MANIFESTS,
    habit={
        Compression.ZSTD: Compression.GZIP,  # which Docker reads only from 23 on
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
    holds=frozenset({Compression.NONE, Compression.GZIP, Compression.ZSTD}),
    ordered=True,
    artifacts=False,
)


@dataclass(slots=True)
class _Image:
    manifest: RawManifest
    names: list[str] = field(default_factory=list)


class DualContents:
    """The images of a dual archive; see :class:`tarkit.transports.docker_archive.writer.Contents`."""

    def __init__(self, output: ArchiveOutput) -> None:
        self.output = output
        self._images: dict[Digest, _Image] = {}

    def destination(self, references: tuple[Reference, ...]) -> LayoutDestination:
        """Where one image goes."""

        def add_it(manifest: RawManifest) -> None:
            require_sha256(Manifest.parse(manifest).config.digest, self.output.where)
            self._images.setdefault(manifest.digest, _Image(manifest))
            give_names(self._images, manifest.digest, references)

        return LayoutDestination(self.output.where, PROFILE, ArchiveBlobs(self.output), add_it)

    def finish(self) -> bool:
        """Append both tables of contents."""
        entries = [entry for image in self._images.values() for entry in _entries(image)]
        self.output.add(INDEX_FILE, replace(EMPTY_INDEX, manifests=tuple(entries)).serialize().data)
        items = [_item(image) for image in self._images.values()]
        top_layers = {
            name: item.layers[-1].rpartition("/")[2]
            for item in items
            if item.layers
            for name in item.repo_tags
        }
        add_docker_files(self.output, items, top_layers)
        self.output.add(MARKER_FILE, MARKER)
        return bool(items)


def _entries(image: _Image) -> list[Descriptor]:
    """Entries of ``index.json``: the full name for containerd, and the tag, as Docker writes them."""
    return [
        replace(
            image.manifest.descriptor,
            annotations={CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]},
        )
        for name in image.names
    ] or [image.manifest.descriptor]


def _item(image: _Image) -> ManifestItem:
    manifest = Manifest.parse(image.manifest)
    return ManifestItem(
        config=blob_name(manifest.config.digest),
        repo_tags=tuple(image.names),
        layers=tuple(blob_name(layer.digest) for layer in manifest.layers),
    )
