"""Archives that are docker archives and OCI layouts at once, as Docker writes them since version 25.

The OCI half has the original manifest and the layers as they were pulled; it is used for every
image whose config it knows and whose layers are all there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest
from tarkit.layout.archive_files import ArchiveFiles, ArchiveSource
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE, Layout
from tarkit.layout.names import answers_to
from tarkit.tar.archive import Archive

_DEPTH_LIMIT = 8


def dual_source(archive: Archive, config: Digest, names: tuple[str, ...]) -> ArchiveSource | None:
    """The image with that *config* in the OCI half of *archive*, if it has one and the image is whole."""
    if not (archive.candidates(MARKER_FILE) and archive.candidates(INDEX_FILE)):
        return None
    files = ArchiveFiles(archive)
    layout = Layout.read(files)
    entries = sorted(
        layout.index.manifests,
        key=lambda entry: not any(answers_to(entry.annotations, name) for name in names),
    )
    for manifest in _image_manifests(layout, entries, set(), _DEPTH_LIMIT):
        if _is_whole(layout, manifest, config):
            return ArchiveSource(files, layout, manifest, names)
    return None


def _image_manifests(
    layout: Layout, entries: Sequence[Descriptor], seen: set[Digest], depth: int
) -> Iterator[Descriptor]:
    """The image manifests that are there, at any depth: indexes in Docker's archives lack most of theirs."""
    for entry in entries:
        if entry.digest in seen or layout.files.blob_size(entry.digest) is None:
            continue
        seen.add(entry.digest)
        if entry.media_type in media_types.MANIFESTS:
            yield entry
        elif entry.media_type in media_types.INDEXES and depth:
            yield from _image_manifests(
                layout, Index.parse(layout.manifest(entry)).manifests, seen, depth - 1
            )


def _is_whole(layout: Layout, descriptor: Descriptor, config: Digest) -> bool:
    manifest = Manifest.parse(layout.manifest(descriptor))
    return manifest.config.digest == config and all(
        layer.is_foreign or layout.files.blob_size(layer.digest) is not None
        for layer in manifest.layers
    )
