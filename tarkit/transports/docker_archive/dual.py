"""The OCI half of docker archives that are OCI layouts too, as Docker writes them since version 25.

It has the original manifests, the layers as they were pulled, and every platform, while
``manifest.json`` names one platform of each image. So it is used for each image that it holds whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
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

_MOST_LEAVES = 200_000  # of all entries together, which may share nested indexes
_MOST_OF_A_NAME = 100  # images of one name that are told apart by their configs


@dataclass(slots=True)
class Half:
    """An image of ``index.json``: its whole ``manifests`` by config and number of layers.

    ``configs`` are those of all manifests that are there. ``present`` counts the manifests that
    are whole, attestations included. ``error`` says why the image could not be looked through.
    """

    image: LayoutImage
    manifests: dict[tuple[Digest, int], Descriptor] = field(default_factory=dict)
    configs: set[Digest] = field(default_factory=set)
    present: int = 0
    error: TarkitError | None = None

    @property
    def damage(self) -> TarkitError | None:
        """The error, if it means that something was altered, and not just left out."""
        return (
            self.error if isinstance(self.error, DigestMismatchError | SizeMismatchError) else None
        )

    def top(self, manifest: Descriptor) -> Descriptor:
        """Return what stands for the whole image of which *manifest* is one platform.

        That is the index, unless Docker saved a single platform of it: then nothing else is there.
        """
        entry = self.image.descriptor
        return entry if self.present > 1 or entry.digest == manifest.digest else manifest


class OCIHalf:
    """The layout in *archive*; raises :class:`VerificationError` and :class:`RefusedError` if it is none.

    An ``index.json`` without names that is one image of several platforms counts as one image if
    *alone*, which is if ``manifest.json`` names one image.
    """

    def __init__(self, archive: Archive, *, alone: bool) -> None:
        self._files = ArchiveFiles(archive)
        self._layout = Layout.read(self._files)
        self._images = self._layout.images() if alone else self._layout.entries()

    @classmethod
    def of(cls, archive: Archive, *, alone: bool) -> OCIHalf | None:
        """Return the layout in *archive*, or None if there is none that can be used."""
        if archive.candidates(MARKER_FILE) and archive.candidates(INDEX_FILE):
            with suppress(VerificationError, RefusedError):
                return cls(archive, alone=alone)
        return None

    def source(self, top: Descriptor, names: tuple[str, ...]) -> ArchiveSource:
        """Return the image that *top* points at."""
        return ArchiveSource(self._files, self._layout, top, names)

    def named(self, name: str, config: Digest | None = None) -> Half | None:
        """Return the first image that answers to *name*, preferably one with that *config*."""
        positions = islice(self._layout.matches(name), _MOST_OF_A_NAME)
        halves = [self._at[at] for at in positions if at in self._at]
        fitting = [half for half in halves if config in half.configs]
        return next(iter(fitting or halves), None)

    def holding(self, config: Digest, layers: int) -> Half | None:
        """Return the image that holds one of that *config* whole: rather a manifest than an index."""
        return next(iter(self._by_config.get((config, layers), ())), None)

    @cached_property
    def halves(self) -> Sequence[Half]:
        """All images that can be read."""
        budget = iter(range(_MOST_LEAVES))
        return [
            self._look(image, budget) for image in self._images if isinstance(image, LayoutImage)
        ]

    @cached_property
    def _at(self) -> dict[int, Half]:
        return {half.image.index: half for half in self.halves}

    @cached_property
    def _by_config(self) -> dict[tuple[Digest, int], list[Half]]:
        found: dict[tuple[Digest, int], list[Half]] = defaultdict(list)
        for half in sorted(
            self.halves, key=lambda half: half.image.descriptor.media_type in media_types.INDEXES
        ):
            for key in half.manifests:
                found[key].append(half)
        return found

    def _look(self, image: LayoutImage, budget: Iterator[int]) -> Half:
        """Look through everything that *image* leads to."""
        half = Half(image)
        try:
            for leaf in self._leaves(image.descriptor, budget):
                self._add(half, leaf)
        except (VerificationError, RefusedError) as error:
            half.error = error
        return half

    def _add(self, half: Half, leaf: Descriptor) -> None:
        """Add the manifest *leaf* to what is known of *half*."""
        raw = self._layout.manifest(leaf)
        try:
            manifest = Manifest.parse(raw)
        except (VerificationError, RefusedError):
            half.present += 1  # whoever wants all of the index has to be told
            return
        half.configs.add(manifest.config.digest)
        stored = [layer for layer in manifest.layers if not layer.is_foreign]
        if all(map(self._holds, (manifest.config, *stored))):
            half.present += 1
            half.manifests[manifest.config.digest, len(manifest.layers)] = leaf

    def _leaves(self, entry: Descriptor, budget: Iterator[int]) -> Iterator[Descriptor]:
        """Yield the manifests below *entry* that are there: indexes in Docker's archives lack most of theirs."""
        for *_, leaf in leaves([entry], self._layout.nested, where=self._files.where):
            if next(budget, None) is None:
                raise LimitExceededError(
                    f"more than {_MOST_LEAVES} manifests in its indexes",
                    limit=_MOST_LEAVES,
                    where=self._files.where,
                )
            is_there = self._files.blob_size(leaf.digest) is not None
            if leaf.media_type in media_types.MANIFESTS and is_there:
                yield leaf

    def _holds(self, blob: Descriptor) -> bool:
        return self._files.blob_size(blob.digest) == blob.size
