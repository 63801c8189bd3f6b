"""An index over the images of several sources, as one source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import BinaryIO

from tarkit.errors import BlobNotFoundError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.protocols import SequentialSource, Source, SparseSource, StatedSource
from tarkit.selection.select import read_image_config
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class JoinedEntry:
    """The *entry* of an index, and the *source* that has its content."""

    entry: Descriptor
    source: Source


def parts_of(source: Source) -> list[JoinedEntry]:
    """Return the entries of *source*'s index, or one with the platform of its only image."""
    raw = source.manifest()
    if raw.is_index:
        return [JoinedEntry(entry, source) for entry in Index.parse(raw).manifests]
    platform = source.platform if isinstance(source, StatedSource) else None
    if platform is None and raw.media_type in media_types.MANIFESTS:
        config = read_image_config(source, Manifest.parse(raw))
        platform = config.platform if config else None
    return [JoinedEntry(replace(raw.descriptor, platform=platform), source)]


class JoinedSource:
    """An index of *parts*, with the fields of *base*; see :class:`tarkit.protocols.Source`.

    A manifest or blob is read from the source whose index or manifest first named it.
    """

    names: tuple[str, ...] = ()

    def __init__(self, where: str, parts: Sequence[JoinedEntry], base: Index | None = None) -> None:
        self.where = where
        base = base or Index(media_types.OCI_INDEX, ())
        self._top = replace(base, manifests=tuple(part.entry for part in parts)).serialize()
        self._owners: dict[Digest, Source] = {}
        for part in parts:
            self._owners.setdefault(part.entry.digest, part.source)

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the top manifest or index, or the one with *digest* below it, verified."""
        if digest is None or digest == self._top.digest:
            return self._top
        source = self._owner(digest)
        top = source.manifest()
        raw = top if digest == top.digest else source.manifest(digest)
        for child in _content(raw):
            self._owners.setdefault(child.digest, source)
        return raw

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the stored bytes of a config or layer. The caller verifies and closes the stream."""
        return self._owner(descriptor.digest).open_blob(descriptor)

    def holds(self, descriptor: Descriptor) -> bool:
        """Return True if the manifest or blob is present."""
        source = self._owners.get(descriptor.digest)
        return source is not None and (
            not isinstance(source, SparseSource) or source.holds(descriptor)
        )

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """Return *blobs* in an order that reads the source once, or None if any order works."""
        groups: dict[int, tuple[Source, list[Descriptor]]] = {}
        for blob in blobs:
            source = self._owner(blob.digest)
            groups.setdefault(id(source), (source, []))[1].append(blob)
        orders = [_order(source, group) for source, group in groups.values()]
        if all(order is None for order in orders):
            return None
        return [
            blob
            for order, (_, group) in zip(orders, groups.values(), strict=True)
            for blob in (group if order is None else order)
        ]

    def _owner(self, digest: Digest) -> Source:
        try:
            return self._owners[digest]
        except KeyError:
            raise BlobNotFoundError(
                f"{digest} is not part of the image", where=self.where
            ) from None


def _content(raw: RawManifest) -> Iterable[Descriptor]:
    if raw.is_index:
        return Index.parse(raw, strict=False).manifests
    if raw.media_type not in media_types.MANIFESTS:
        return ()
    manifest = Manifest.parse(raw)
    return (manifest.config, *manifest.layers)


def _order(source: Source, blobs: list[Descriptor]) -> Sequence[Descriptor] | None:
    return source.reading_order(blobs) if isinstance(source, SequentialSource) else None
