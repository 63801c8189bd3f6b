"""The OCI half of docker archives that are also OCI layouts, like Docker's since version 25.

It contains the original manifests, the layers as pulled, and all platforms, but ``manifest.json``
lists only one platform of each image. So every image that is complete in the OCI half is read
there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import field
from functools import cached_property
from itertools import islice

from tarkit.errors import (
    DigestMismatchError,
    LimitExceededError,
    RefusedError,
    SizeMismatchError,
    TarkitError,
    VerificationError,
)
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.walk import leaves
from tarkit.layout.archive_files import ArchiveFiles, ArchiveSource
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE, Layout, LayoutImage
from tarkit.tar.archive import Archive
from tarkit.values import dataclass

_MOST_LEAVES = 200_000  # manifests of all entries, counted again if entries share an index
_MOST_OF_A_NAME = 100  # images with the same name whose configs are compared


@dataclass(slots=True)
class IndexedImage:
    """An image of ``index.json`` and its complete ``manifests``, by config and number of layers.

    ``configs`` contains the configs of all stored manifests. ``present`` counts the complete
    manifests, including attestations. ``error`` is the error raised by reading the image, if any.
    """

    entry: LayoutImage
    manifests: dict[tuple[Digest, int], Descriptor] = field(default_factory=dict)
    configs: set[Digest] = field(default_factory=set)
    present: int = 0
    error: TarkitError | None = None

    @property
    def damage(self) -> TarkitError | None:
        """The error, if it shows that content was altered rather than omitted."""
        return (
            self.error if isinstance(self.error, DigestMismatchError | SizeMismatchError) else None
        )

    def top(self, manifest: Descriptor) -> Descriptor:
        """Return the descriptor of the whole image that includes the platform *manifest*.

        This is the index, unless Docker saved only this platform of it.
        """
        entry = self.entry.descriptor
        return entry if self.present > 1 or entry.digest == manifest.digest else manifest


class OCIHalf:
    """The layout in *archive*.

    If *alone*, because ``manifest.json`` lists a single image, a flat ``index.json`` is one
    multi-platform image. Otherwise, each of its entries is an image. Raises
    :class:`VerificationError` or :class:`RefusedError` if the layout is invalid.
    """

    def __init__(self, archive: Archive, *, alone: bool) -> None:
        self._files = ArchiveFiles(archive)
        self._layout = Layout.read(self._files)
        self._entries = self._layout.images() if alone else self._layout.entries()

    @classmethod
    def of(cls, archive: Archive, *, alone: bool) -> OCIHalf | None:
        """Return the layout in *archive*, or None if it is missing or invalid."""
        if archive.candidates(MARKER_FILE) and archive.candidates(INDEX_FILE):
            with suppress(VerificationError, RefusedError):
                return cls(archive, alone=alone)
        return None

    @property
    def layout(self) -> Layout:
        """The layout in the archive."""
        return self._layout

    def source(self, top: Descriptor, names: tuple[str, ...]) -> ArchiveSource:
        """Return the image whose top manifest or index is *top*."""
        return ArchiveSource(self._files, self._layout, top, names)

    def named(self, name: str, config: Digest | None = None) -> IndexedImage | None:
        """Return the first image called *name*, preferably one that has *config*."""
        positions = islice(self._layout.matches(name), _MOST_OF_A_NAME)
        images = [self._by_position[at] for at in positions if at in self._by_position]
        fitting = [indexed for indexed in images if config in indexed.configs]
        return next(iter(fitting or images), None)

    def holding(self, config: Digest, layers: int) -> IndexedImage | None:
        """Return an image with a complete manifest of *config*, preferably not an index."""
        return next(iter(self._by_config.get((config, layers), ())), None)

    @cached_property
    def images(self) -> Sequence[IndexedImage]:
        """All readable images."""
        budget = iter(range(_MOST_LEAVES))  # shared, so that many entries do not multiply the work
        return [
            self._examine(entry, budget)
            for entry in self._entries
            if isinstance(entry, LayoutImage)
        ]

    @cached_property
    def _by_position(self) -> dict[int, IndexedImage]:
        return {indexed.entry.index: indexed for indexed in self.images}

    @cached_property
    def _by_config(self) -> dict[tuple[Digest, int], list[IndexedImage]]:
        found: dict[tuple[Digest, int], list[IndexedImage]] = defaultdict(list)
        # The sort is stable, and False sorts first: manifests before indexes, in order otherwise.
        for indexed in sorted(
            self.images,
            key=lambda indexed: indexed.entry.descriptor.media_type in media_types.INDEXES,
        ):
            for key in indexed.manifests:
                found[key].append(indexed)
        return found

    def _examine(self, entry: LayoutImage, budget: Iterator[int]) -> IndexedImage:
        """Examine all manifests of *entry*."""
        indexed = IndexedImage(entry)
        try:
            for leaf in self._leaves(entry.descriptor, budget):
                self._add(indexed, leaf)
        except (VerificationError, RefusedError) as error:
            indexed.error = error
        return indexed

    def _add(self, indexed: IndexedImage, leaf: Descriptor) -> None:
        """Add the manifest *leaf* to *indexed*."""
        raw = self._layout.manifest(leaf)
        try:
            manifest = Manifest.parse(raw)
        except (VerificationError, RefusedError):
            # Count it, so that top() returns the index and a copy of that reports the error.
            indexed.present += 1
            return
        indexed.configs.add(manifest.config.digest)
        # Foreign layers need not be stored, because their descriptors have URLs.
        stored = [layer for layer in manifest.layers if not layer.is_foreign]
        if all(map(self._holds, (manifest.config, *stored))):
            indexed.present += 1
            indexed.manifests[manifest.config.digest, len(manifest.layers)] = leaf

    def _leaves(self, entry: Descriptor, budget: Iterator[int]) -> Iterator[Descriptor]:
        """Yield the stored manifests of *entry*; Docker omits most platforms of an index."""
        for *_, leaf in leaves([entry], self._layout.nested, where=self._files.where):
            if next(budget, None) is None:
                raise LimitExceededError(
                    f"the indexes list more than {_MOST_LEAVES} manifests",
                    limit=_MOST_LEAVES,
                    where=self._files.where,
                )
            is_stored = self._files.blob_size(leaf.digest) is not None
            if leaf.media_type in media_types.MANIFESTS and is_stored:
                yield leaf

    def _holds(self, blob: Descriptor) -> bool:
        return self._files.blob_size(blob.digest) == blob.size
