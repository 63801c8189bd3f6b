"""Any source, read through a store: what the store holds is neither downloaded nor inflated again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import (
    CancelledError,
    LockedError,
    MalformedError,
    TarkitError,
    UnsupportedError,
    VerificationError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.platform import Platform
from tarkit.protocols import (
    PlainLayer,
    ReferringSource,
    RemoteSource,
    ResumingSource,
    SequentialSource,
    Source,
    SparseSource,
    StatedSource,
)
from tarkit.store.content import Content
from tarkit.store.ingest import Ingest
from tarkit.store.leases import PULLED
from tarkit.store.plain import PlainLayers
from tarkit.store.store import Store
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import ChunkReader, drain
from tarkit.streams.files import open_regular
from tarkit.streams.verify import VerifyingReader


@contextmanager
def caching(source: Source, root: Path) -> Iterator[Source]:
    """Yield *source* read through the store at *root*, which is created if it is missing.

    If the store cannot be used, the source is read without it.
    """
    with ExitStack() as stack:
        try:
            store = stack.enter_context(Store.open(root))
            if store.writable:
                store.leases.create(PULLED, seconds=float("inf"))
        except CancelledError:
            raise
        except TarkitError:
            yield source
            return
        yield wrapped(source, store)


def wrapped(source: Source, store: Store) -> Source:
    """Return *source* read through *store*, with the abilities that it has."""
    if not isinstance(source, ReferringSource):
        return CachingSource(source, store)
    if not isinstance(source, RemoteSource):
        return CachingReferringSource(source, store)
    return CachingRemoteSource(source, store)


class CachingSource:
    """Reads *source* through *store*. Errors of the store never fail the source."""

    def __init__(self, source: Source, store: Store) -> None:
        self.origin = source
        self.where = source.where
        self.names = source.names
        self._store = store
        self._plain = PlainLayers(store)

    @property
    def platform(self) -> Platform | None:
        """The platform in the container's entry for the top manifest, or None."""
        return self.origin.platform if isinstance(self.origin, StatedSource) else None

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the top manifest or index, or the one with *digest* below it, verified."""
        return self.origin.manifest(digest)

    def holds(self, descriptor: Descriptor) -> bool:
        """Return True if the manifest or blob is present."""
        return not isinstance(self.origin, SparseSource) or self.origin.holds(descriptor)

    def reading_order(self, blobs: Sequence[Descriptor]) -> Sequence[Descriptor] | None:
        """Return *blobs* in an order that reads the source once, or None if any order works."""
        if isinstance(self.origin, SequentialSource):
            return self.origin.reading_order(blobs)
        return None

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open a config or layer, and keep it if it is read from a server."""
        return self._open(descriptor, keep=isinstance(self.origin, RemoteSource))

    def plain_layer(self, layer: Descriptor, diff_id: Digest) -> PlainLayer | None:
        """Return the uncompressed form of *layer*, or None: then open its blob."""
        if self._store.layers.present(diff_id) is None:
            is_local = not isinstance(self.origin, RemoteSource)
            if not self._store.writable or (is_local and layer.digest == diff_id):
                return None
            with self._open(layer, keep=True) as blob:  # reading it to the end stores it
                drain(blob)
        return self._plain.get(layer, diff_id)

    def _open(self, blob: Descriptor, *, keep: bool) -> BinaryIO:
        found = self._held(blob)
        if found is not None:
            return found
        ingest = self._ingest(blob) if keep and self._store.writable else None
        if ingest is None:
            return self.origin.open_blob(blob)
        try:
            if isinstance(self.origin, ResumingSource):
                rest = self.origin.open_blob_at(blob, ingest.offset)
            else:
                ingest.restart()
                rest = self.origin.open_blob(blob)
            return ArrivingBlob(ingest, rest, self._store)
        except BaseException:
            ingest.close()
            raise

    def _held(self, blob: Descriptor) -> BinaryIO | None:
        """Open the blob in the store, held if that is possible, or return None."""
        content = self._store.content
        try:
            size = content.size(blob.digest)
            if size is not None and size != blob.size and self._store.writable:
                content.quarantine(blob.digest)
            if size != blob.size:
                return None
            if self._store.writable:
                with suppress(LockedError, MalformedError, UnsupportedError):
                    content.hold(blob.digest)
            return HeldBlob(content, blob)
        except CancelledError:
            raise
        except TarkitError:
            return None

    def _ingest(self, blob: Descriptor) -> Ingest | None:
        """Open the ingest of *blob*, or return None if the store fails or is busy with it."""
        try:
            ingest = self._store.content.ingest(blob.digest, blob.size, patience=0)
            self._store.leases.add(PULLED, str(blob.digest))
        except CancelledError:
            raise
        except TarkitError:
            return None
        if ingest.exists:  # since the look before
            ingest.close()
            return None
        return ingest


class CachingReferringSource(CachingSource):
    """A source that knows its referrers; see :class:`tarkit.protocols.ReferringSource`."""

    origin: ReferringSource  # type: ignore[assignment]  # and a Source

    def referrers(self, digest: Digest | None = None) -> Index:
        """Return an index of the referrers of the manifest *digest*, by default the top one."""
        return self.origin.referrers(digest)

    def referrer(self, entry: Descriptor) -> Source:
        """Return the artifact of an *entry* of :meth:`referrers`."""
        return wrapped(self.origin.referrer(entry), self._store)


class CachingRemoteSource(CachingReferringSource):
    """A source on a server; see :class:`tarkit.protocols.RemoteSource`."""

    @property
    def most_open(self) -> int:
        """The maximum number of blobs to open at a time."""
        assert isinstance(self.origin, RemoteSource)
        return self.origin.most_open


class HeldBlob(VerifyingReader):
    """Reads a blob of *content*; a corrupt one is put aside, so that the next attempt fetches it."""

    def __init__(self, content: Content, blob: Descriptor) -> None:
        where = f"{content.root}: blob {blob.digest}"
        super().__init__(content.open(blob.digest), digest=blob.digest, where=where)
        self._content = content
        self._blob = blob

    def _chunk(self) -> bytes:
        try:
            return super()._chunk()
        except VerificationError as error:
            with suppress(TarkitError):
                if self._content.quarantine(self._blob.digest):
                    error.hint = "the corrupt copy in the store was put aside; try again"
            raise


class ArrivingBlob(ChunkReader):
    """Reads the bytes that an *ingest* has, then *rest*, and adds those to the ingest.

    The blob is in the store once the end has been read. If the store fails, reading goes on.
    """

    def __init__(self, ingest: Ingest, rest: BinaryIO, store: Store) -> None:
        super().__init__(rest)
        self._ingest: Ingest | None = ingest
        self._stack = ExitStack()
        self._stack.enter_context(store.content.arriving(ingest.digest))
        self._stack.enter_context(ingest)
        self._left = ingest.offset
        self._begun = self._stack.enter_context(open_regular(ingest.path)) if self._left else None

    def _chunk(self) -> bytes:
        if self._begun is not None and self._left:
            chunk = self._begun.read(min(CHUNK_SIZE, self._left))
            self._left -= len(chunk)
            if chunk:
                return chunk
        chunk = self._stream.read(CHUNK_SIZE)
        if self._ingest is not None:
            self._store(self._ingest, chunk)
        return chunk

    def _store(self, ingest: Ingest, chunk: bytes) -> None:
        try:
            if chunk:
                ingest.append(chunk)
                return
            ingest.commit()
        except CancelledError:
            raise
        except (
            TarkitError
        ):  # the reader verifies the bytes too, and reports what is wrong with them
            pass
        self._ingest = None

    def close(self) -> None:
        """Close the stream; an unfinished ingest continues next time."""
        self._stack.close()
        super().close()
