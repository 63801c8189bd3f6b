"""``sync`` brings a destination up to date with a list or with all images of a source."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from tarkit.copying.many import FATAL, CopiedImage, FailedImage, naming
from tarkit.errors import TarkitError, UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.protocols import Source
from tarkit.streams.closeable import Closeable
from tarkit.syncing.collect import collect
from tarkit.syncing.images import move
from tarkit.syncing.items import Item, Repository, is_registry
from tarkit.syncing.lists import is_list, read_list
from tarkit.syncing.options import SyncOptions, SyncResult
from tarkit.syncing.planning import Planned, plan_images
from tarkit.syncing.present import Present, is_exact, manifests_to_copy
from tarkit.syncing.readers import Readers
from tarkit.syncing.targets import Target
from tarkit.tracing import trace
from tarkit.transports.location import (
    AnyLocation,
    Location,
    to_location,
)
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Transfer:
    """An image that a sync would copy: its location ``source``, and its new ``names``.

    ``blobs`` and ``bytes`` count the content to read from the source; ``present`` counts the blobs
    that the destination has or gets with an earlier image; it may have layers in another
    compression, which do not count. An ``unchanged`` image has none to move.

    >>> transfers, failed = tarkit.plan_sync("oci:alpha/umoci-oci", "oci:mirror")
    >>> [(transfer.names, transfer.blobs, transfer.present) for transfer in transfers]
    [(('one',), 4, 0), (('two',), 1, 3)]
    """

    source: str
    names: tuple[str, ...]
    blobs: int
    bytes: int
    present: int
    unchanged: bool


def sync(
    source: AnyLocation, destination: AnyLocation, options: SyncOptions | None = None
) -> SyncResult:
    """Copy the images of *source* to *destination*, except those that it already has.

    Digests are preserved if both ends store manifests as they are, so that images can be compared.
    Images that only the destination has are kept.

    Parameters:

    - *source*: the path of a list that ends in ``.yaml``, ``.yml`` or ``.json`` (see
      :mod:`tarkit.syncing.lists`), or the location of an archive, a layout or a repository, of which
      all images are taken.
    - *destination*, *options*: as for :func:`~tarkit.syncing.images.copy_images`.

    Returns the result for each image; ``result`` is None for images that did not change.

    Raises the errors of :func:`~tarkit.syncing.images.copy_images`, and
    :class:`~tarkit.errors.MalformedError` for an invalid list.

    >>> first = tarkit.sync("oci:alpha/umoci-oci", "oci:mirror")
    >>> again = tarkit.sync("oci:alpha/umoci-oci", "oci:mirror")
    >>> first.bytes_written, again.bytes_written, [image.result for image in again.images]
    (32389, 0, [None, None])
    """
    with _Sync(source, destination, options or SyncOptions()) as operation:
        return operation.run()


def plan_sync(
    source: AnyLocation, destination: AnyLocation, options: SyncOptions | None = None
) -> tuple[list[Transfer], list[FailedImage]]:
    """Plan a :func:`sync` with the same arguments, without writing anything.

    Manifests are read, but no layers.

    Returns the images that would be copied or are unchanged, and those that would fail.

    Raises the errors of :func:`sync` that manifests and names can cause.

    >>> transfers, failed = tarkit.plan_sync("oci:alpha/umoci-oci", "oci:mirror")
    >>> sum(transfer.bytes for transfer in transfers), failed
    (32389, [])
    """
    with _Sync(source, destination, options or SyncOptions()) as operation:
        return operation.transfers(), operation.failed


class _Sync(Closeable):
    """One operation: the images to move, and those that failed so far."""

    def __init__(self, source: AnyLocation, destination: AnyLocation, options: SyncOptions) -> None:
        self._options = replace(options, all_images=True)
        self._source = source
        self._target = Target.parse(destination, self._options)
        self._readers = Readers(follow_links=options.follow_links, store=options.store)
        self._present = Present(self._target)
        self.failed: list[FailedImage] = []

    def close(self) -> None:
        """Close the locations."""
        self._readers.close()
        self._present.close()

    def run(self) -> SyncResult:
        """Copy the new and changed images."""
        planned = self._plan()
        unchanged = set[int]()
        changed: list[Planned] = []
        for position, image, source in self._opened(planned):
            exact = is_exact(source, self._target)
            if self._present.holds_image(source, image.names, exact=exact):
                trace("%s is unchanged", image.item.label)
                unchanged.add(position)
            else:
                changed.append(replace(image, exact=exact))
        self._present.close()
        result = move(changed, self._target, self._readers, self._options)
        same = [CopiedImage(planned[at].item.label, planned[at].names, None) for at in unchanged]
        return replace(
            result, images=(*result.images, *same), failed=(*self.failed, *result.failed)
        )

    def transfers(self) -> list[Transfer]:
        """Return the images that would be copied."""
        seen: set[tuple[str, Digest]] = set()
        return [
            self._transfer(image, source, seen) for _, image, source in self._opened(self._plan())
        ]

    def _transfer(self, image: Planned, source: Source, seen: set[tuple[str, Digest]]) -> Transfer:
        exact = is_exact(source, self._target)
        unchanged = self._present.holds_image(source, image.names, exact=exact)
        blobs = {} if unchanged else _blobs(source, self._options)
        place = image.names[0].rpartition("/")[0] if self._target.in_registry else ""
        missing = [
            blob
            for digest, blob in blobs.items()
            if (place, digest) not in seen and not self._present.holds_blob(blob, image.names)
        ]
        seen.update((place, digest) for digest in blobs)
        return Transfer(
            image.item.label,
            image.names,
            len(missing),
            sum(blob.size for blob in missing),
            len(blobs) - len(missing),
            unchanged,
        )

    def _plan(self) -> list[Planned]:
        found = collect(self._wanted(), self._readers, self._options)
        planned, failed = plan_images(
            found, self._target, self._readers, keep_going=self._options.keep_going
        )
        self.failed += failed
        return planned

    def _wanted(self) -> Iterable[Item | Repository]:
        registry, tags = self._options.source_registry, self._options.tags
        if not isinstance(self._source, Location) and is_list(os.fspath(self._source)):
            if tags is not None:
                raise UsageError("--tags needs a repository as the source")
            return list(read_list(Path(self._source), registry))
        location = to_location(self._source)
        if not is_registry(location):
            if tags is not None:
                raise UsageError("--tags needs a repository as the source", where=str(location))
            return [Item(location)]
        if tags is not None:
            return [Repository(location, lambda tag: fnmatchcase(tag, tags), registry)]
        return [Item(location, registry=registry)]

    def _opened(self, planned: Sequence[Planned]) -> Iterator[tuple[int, Planned, Source]]:
        """Yield the position of each image, the image, and its source."""
        for position, image in enumerate(planned):
            try:
                with naming(image.item.label), self._readers.source(image.item) as source:
                    source.manifest()
                    yield position, image, source
            except FATAL:
                raise
            except TarkitError as error:
                if not self._options.keep_going:
                    raise
                self.failed.append(FailedImage(image.item.label, error))


def _blobs(source: Source, options: SyncOptions) -> dict[Digest, Descriptor]:
    """Return the configs and layers that a copy of *source* needs, by digest."""
    found: dict[Digest, Descriptor] = {}
    for raw in manifests_to_copy(source, options.copy):
        manifest = Manifest.parse(raw)
        for blob in (manifest.config, *manifest.layers):
            found.setdefault(blob.digest, blob)
    return found
