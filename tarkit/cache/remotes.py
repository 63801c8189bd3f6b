"""The chain of a ref as blobs for other stores: made, converted or lazy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import BinaryIO, NamedTuple

from tarkit.cache import blobs, facts
from tarkit.cache.cache import Cache
from tarkit.cache.chains import Link, layer_chain
from tarkit.cache.facts import digest_of
from tarkit.cache.options import DescHandler, DescHandlers
from tarkit.cache.providers import descriptor_of
from tarkit.errors import NoBlobsError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression, Family
from tarkit.store.layers import StoredLayer
from tarkit.store.record import Record
from tarkit.streams.codecs import SNIFF_SIZE, compress, detect
from tarkit.streams.verify import VerifyingReader
from tarkit.values import dataclass, replace

_MOST = 1000  # combinations of variants


@dataclass(frozen=True, slots=True)
class Remote:
    """A chain of blobs: their ``descriptors``, lowest first. Lazy blobs are read from their origin.

    ``handlers`` has the origin of each blob that was not in the store, by digest.
    """

    descriptors: tuple[Descriptor, ...]
    cache: Cache
    handlers: DescHandlers

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob, unverified: from the store, or else from its origin."""
        content = self.cache.store.content
        handler = self.handlers.get(descriptor.digest)
        if content.size(descriptor.digest) is not None or handler is None:
            return content.open(descriptor.digest)
        return self.cache.providers.open(handler, descriptor)


def get_remotes(
    cache: Cache,
    record: Record,
    handlers: DescHandlers,
    *,
    create: bool,
    compression: Compression | None,
    force: bool,
    all: bool,
    prefer_nondistributable: bool,
) -> list[Remote]:
    """Return the remotes of *record*; see :meth:`tarkit.cache.refs.ImmutableRef.get_remotes`."""
    wanted = compression or Compression.GZIP
    forced = force and compression is not None
    chain = _Chain(cache, record.id, handlers, wanted, create=create, force=forced)
    links = layer_chain(record, cache.ledger.find)
    layers = [chain.blob(link) for link in links]
    if create:
        blobs.update_chain(cache, record.id)
    layers = [_distributed(layer, prefer_nondistributable) for layer in layers]
    origins = _origins(cache, links, handlers)
    main = Remote(tuple(layers), cache, origins)
    if not all or chain.force or not layers:
        return [main]
    variants = (Remote(each, cache, origins) for each in _combinations(cache, layers, wanted))
    return [main, *(each for each in variants if each.descriptors != main.descriptors)]


class _Layer(NamedTuple):
    """A layer by its diff ID; ``key`` returns the key of its plain tar, made now if necessary."""

    diff_id: Digest
    key: Callable[[], str]


class _Chain:
    """Finds or makes the blob of each layer of a chain, from the lowest on."""

    def __init__(
        self,
        cache: Cache,
        top: str,
        handlers: DescHandlers,
        wanted: Compression,
        *,
        create: bool,
        force: bool,
    ) -> None:
        self._cache = cache
        self._top = top
        self._handlers = handlers
        self._wanted = wanted
        self._create = create
        self.force = force

    def blob(self, link: Link) -> Descriptor:
        """Return the descriptor of the blob of a layer."""
        record = self._cache.ledger.find(link.record.id)
        rewritten = self._rewritten(link, record)
        if rewritten is not None:
            return self._variant(_of(rewritten), media_types.OCI_LAYER)
        descriptor = descriptor_of(record)
        diff_id = digest_of(record, facts.DIFF_ID)
        if descriptor is not None and diff_id is not None:
            if (
                not self.force
                or media_types.layer_compression(descriptor.media_type) is self._wanted
            ):
                return _annotated(descriptor, diff_id)
            return self._variant(
                _Layer(diff_id, lambda: self._layer(record).key), descriptor.media_type
            )
        if not self._create:
            raise NoBlobsError(f"the ref {record.id} has no blob")
        return self._variant(_of(self._layer(record)), media_types.OCI_LAYER, owner=record)

    def _layer(self, record: Record) -> StoredLayer:
        return self._cache.snapshots.layer(record, self._handlers)

    def _rewritten(self, link: Link, record: Record) -> StoredLayer | None:
        """Return the layer to use instead of one that refers to layers below it, but was moved.

        A lazy layer is not read to find out.
        """
        if not link.moved or self._cache.snapshots.is_lazy(record):
            return None
        placed = self._cache.snapshots.placed(link, self._handlers)
        return placed if placed.diff_id != self._layer(record).diff_id else None

    def _variant(
        self, layer: _Layer, media_type: str, *, owner: Record | None = None
    ) -> Descriptor:
        """Return the blob of a layer in the wanted compression; make it if it is missing.

        It becomes the blob of *owner*.
        """
        diff_id = layer.diff_id
        with self._cache.lock((diff_id, self._wanted)):
            found = _stored(self._cache, diff_id).get(self._wanted)
            if found is None and not self._create:
                raise NoBlobsError(f"the layer {diff_id} has no {self._wanted.value} blob")
            digest = found or self._pack(layer)
            made = _describe(self._cache, digest, diff_id, media_type, self._wanted)
            if found is None or owner is not None:
                with self._cache.ledger.change():  # one, so that files of records are written once
                    self._cache.store.content.set_diff_id(digest, diff_id)
                    blobs.keep_variant(self._cache, diff_id, digest, self._top)
                    if owner is not None:
                        blobs.set_blob(self._cache, owner, made)
            return made

    def _pack(self, layer: _Layer) -> Digest:
        content, layers = self._cache.store.content, self._cache.store.layers
        with layers.open(layer.key()) as stream, compress(stream, self._wanted) as packed:
            return content.add_stream(VerifyingReader(packed))


def _of(layer: StoredLayer) -> _Layer:
    return _Layer(layer.diff_id, lambda: layer.key)


def _stored(cache: Cache, diff_id: Digest) -> dict[Compression, Digest]:
    """Return the blobs of a layer in the store by their compression."""
    found: dict[Compression, Digest] = {}
    for digest in cache.store.content.with_diff_id(diff_id):
        with cache.store.content.open(digest) as file:
            found.setdefault(detect(file.read(SNIFF_SIZE)), digest)
    return found


def _describe(
    cache: Cache, digest: Digest, diff_id: Digest, media_type: str, compression: Compression
) -> Descriptor:
    base = media_type if media_types.is_layer(media_type) else media_types.OCI_LAYER
    kind = media_types.layer_type(base, Family.OCI, compression) or base
    size = cache.store.content.size(digest) or 0
    return _annotated(Descriptor(kind, digest, size), diff_id)


def _annotated(descriptor: Descriptor, diff_id: Digest) -> Descriptor:
    return replace(
        descriptor, annotations={**descriptor.annotations, facts.UNCOMPRESSED: str(diff_id)}
    )


def _distributed(layer: Descriptor, prefer_nondistributable: bool) -> Descriptor:
    if prefer_nondistributable or not media_types.is_foreign(layer.media_type):
        return layer
    compression = media_types.layer_compression(layer.media_type)
    family = media_types.family_of(layer.media_type) or Family.OCI
    base = media_types.OCI_LAYER if family is Family.OCI else media_types.DOCKER_LAYER
    kind = media_types.layer_type(base, family, compression) or layer.media_type
    return replace(layer, media_type=kind, urls=())


def _origins(cache: Cache, links: list[Link], handlers: DescHandlers) -> dict[Digest, DescHandler]:
    origins = {}
    for link in links:
        digest = digest_of(link.record, facts.BLOB)
        handler = cache.providers.handler(link.record, handlers)
        if digest is not None and handler is not None:
            origins[digest] = handler
    return origins


def _combinations(
    cache: Cache, layers: list[Descriptor], wanted: Compression
) -> Iterator[tuple[Descriptor, ...]]:
    """Yield all chains of stored blobs of the same layers whose top is in the *wanted* compression."""
    choices = []
    for layer in layers:
        diff_id = blobs.diff_id_of(layer)
        own = media_types.layer_compression(layer.media_type)
        stored = {
            kind: _describe(cache, digest, diff_id, layer.media_type, kind)
            for kind, digest in _stored(cache, diff_id).items()
        }
        choices.append({own: layer, **{k: v for k, v in stored.items() if k is not own}})
    if wanted in choices[-1]:
        choices[-1] = {wanted: choices[-1][wanted]}
        yield from islice(product(*(each.values() for each in choices)), _MOST)
