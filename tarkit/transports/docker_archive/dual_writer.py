"""Docker archives that are OCI layouts too: every consumer finds the image, its name and its digests.

Docker's classic store, podman and skopeo read ``manifest.json``, containerd reads ``index.json``:
both name the same blobs, and the original manifest is among them.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest, RawManifest
from tarkit.image.media_types import MANIFESTS, Compression
from tarkit.image.reference import Reference
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.base import Profile
from tarkit.transports.docker_archive.items import ManifestItem
from tarkit.transports.docker_archive.writer import add_docker_files, merged_names

PROFILE = Profile(
    media_types=MANIFESTS,
    habit={
        Compression.ZSTD: Compression.GZIP,  # which Docker reads only from 23 on
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
    holds=frozenset({Compression.NONE, Compression.GZIP, Compression.ZSTD}),
    ordered=True,
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

    def destination(self, references: tuple[Reference, ...]) -> DualDestination:
        """Where one image goes."""
        return DualDestination(self, references)

    def commit(self, manifest: RawManifest, references: tuple[Reference, ...]) -> None:
        """Add an image, or its names to the one there is. A name is taken from whoever had it."""
        for other in self._images.values():
            other.names = [name for name in other.names if name not in map(str, references)]
        image = self._images.setdefault(manifest.digest, _Image(manifest))
        image.names = merged_names(image.names, references)

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


class DualDestination:
    """Where one image goes; see :class:`tarkit.transports.base.Destination`."""

    profile = PROFILE

    def __init__(self, contents: DualContents, references: tuple[Reference, ...]) -> None:
        self.where = contents.output.where
        self._contents = contents
        self._references = references
        self._top: RawManifest | None = None

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """See :class:`tarkit.transports.base.Destination`; only what is in the archive already counts."""
        is_there = self._contents.output.size(descriptor.digest) == descriptor.size
        return descriptor if is_there else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        self._contents.output.put_blob(blob, lambda hex: f"blobs/{blob.algorithm}/{hex}")
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._contents.output.size(manifest.digest) is None:
            blob = VerifyingReader(io.BytesIO(manifest.data), digest=manifest.digest)
            self.put_blob(blob, manifest.media_type)
        self._top = manifest

    def commit(self) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._contents.commit(self._top, self._references)
        return self._top.descriptor


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
        config=_path(manifest.config),
        repo_tags=tuple(image.names),
        layers=tuple(_path(layer) for layer in manifest.layers),
    )


def _path(blob: Descriptor) -> str:
    return f"blobs/{blob.digest.algorithm}/{blob.digest.hex}"
