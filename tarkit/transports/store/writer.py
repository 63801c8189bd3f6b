"""Write images to a store: content as it arrives, names at the end."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tarkit.errors import RefusedError
from tarkit.image.convert import convert_layer
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import Compression, Family, is_acceptable, is_layer
from tarkit.layout.destination import DIRECTORY_PROFILE, LayoutDestination
from tarkit.layout.entries import named_entries
from tarkit.layout.layout import Layout
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME, normalized
from tarkit.layout.referrers import list_entry, lists_in, referrer_lists
from tarkit.store.content import Content
from tarkit.store.store import Store
from tarkit.streams.chunks import chunks_of
from tarkit.streams.closeable import Publishing
from tarkit.streams.codecs import SNIFF_SIZE, detect
from tarkit.streams.verify import VerifyingReader
from tarkit.values import replace

# plain layers stay plain: they are the same files as the layers that readers use
PROFILE = replace(
    DIRECTORY_PROFILE,
    default_compression={Compression.BZIP2: Compression.GZIP, Compression.XZ: Compression.GZIP},
)


class StoreWriter(Publishing):
    """Adds images to *store*, which it closes; see :class:`tarkit.protocols.Writer`.

    Blobs are held until it is closed, and garbage if they have no name by then. The names of images
    become full: ``alpine`` is ``docker.io/library/alpine:latest``.
    """

    def __init__(self, store: Store, *, verify_existing: bool = False) -> None:
        self.where = str(store.root)
        self.store = store
        self._blobs = StoreBlobs(store.content, verify_existing=verify_existing)
        self._entries: list[Descriptor] = []
        self._referrers: list[RawManifest] = []

    @classmethod
    def open(cls, root: str | Path, *, verify_existing: bool = False) -> Self:
        """Open the store at *root*, or create it; raises as :meth:`tarkit.store.store.Store.open`.

        With *verify_existing*, existing blobs are hashed before reuse.
        """
        store = Store.open(root)
        if not store.writable:
            store.close()
            raise RefusedError("the store is read-only", where=str(root))
        return cls(store, verify_existing=verify_existing)

    def destination(self, *names: str) -> LayoutDestination:
        """Return a Destination for one image with *names*, or without a name."""

        def add_entries(manifest: RawManifest) -> None:
            self._entries += map(_with_full_name, named_entries(manifest, names))

        return LayoutDestination(self.where, PROFILE, self._blobs, add_entries)

    def referrer(self) -> LayoutDestination:
        """Return a Destination for one artifact, which becomes a referrer of its subject."""
        return LayoutDestination(self.where, PROFILE, self._blobs, self._referrers.append)

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Return a block for storing one image; if it raises, the image gets no name."""
        entries, referrers = len(self._entries), len(self._referrers)
        try:
            yield
        except BaseException:
            del self._entries[entries:], self._referrers[referrers:]
            raise

    def _end(self, succeeded: bool) -> None:
        """Publish the committed images, unless the block raised an error; close the store."""
        with self.store:
            if succeeded and (self._entries or self._referrers):
                self.store.names.add(self._new_entries)

    def _new_entries(self, layout: Layout) -> Sequence[Descriptor]:
        lists = referrer_lists(lists_in(layout) if self._referrers else {}, self._referrers)
        for index in lists.values():
            self._blobs.put(VerifyingReader(io.BytesIO(index.data), digest=index.digest))
        return [*self._entries, *(list_entry(name, index) for name, index in lists.items())]


class StoreBlobs:
    """The blobs of a store during writing; see :class:`tarkit.layout.destination.LayoutBlobs`."""

    def __init__(self, content: Content, *, verify_existing: bool) -> None:
        self._content = content
        self._verify_existing = verify_existing

    def find(
        self,
        descriptor: Descriptor,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return a stored blob that can replace *descriptor*, or None."""
        if is_acceptable(descriptor.media_type, compressions) and self._reuse(descriptor):
            return descriptor
        if diff_id is None or not is_layer(descriptor.media_type):
            return None
        return self._find_layer(descriptor, diff_id, compressions)

    def put(self, blob: VerifyingReader) -> None:
        """Store *blob*; a blob that fails verification never becomes visible."""
        if blob.expected is None:
            self._content.add_stream(blob)
            return
        if self._content.is_arriving(blob.expected):  # the source stores it while it is read
            blob.verify()
        if self._content.hold(blob.expected) is not None and not self._verify_existing:
            blob.verify()
            return
        with self._content.ingest(blob.expected, blob.expected_size) as ingest:
            ingest.restart()
            for chunk in chunks_of(blob):
                ingest.append(chunk)
            ingest.commit()

    def _reuse(self, blob: Descriptor) -> bool:
        if self._content.hold(blob.digest) != blob.size:
            return False
        return not self._verify_existing or self._content.quarantine(blob.digest) is None

    def _find_layer(
        self, layer: Descriptor, diff_id: Digest, compressions: frozenset[Compression]
    ) -> Descriptor | None:
        for digest in self._content.with_diff_id(diff_id):
            with self._content.open(digest) as file:
                compression = detect(file.read(SNIFF_SIZE))
            size = self._content.hold(digest)
            if size is not None and compression in compressions:
                found = convert_layer(layer, Family.OCI, compression)
                found = found.with_content(found.media_type, digest, size)
                if self._reuse(found):
                    return found
        return None


def _with_full_name(entry: Descriptor) -> Descriptor:
    name = entry.annotations.get(REF_NAME)
    full = normalized(name) if name else None
    if full is None:
        return entry
    return replace(entry, annotations={**entry.annotations, REF_NAME: full, CONTAINERD_NAME: full})
