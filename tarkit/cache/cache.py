"""The state that all refs of one open cache share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from tarkit.cache import facts
from tarkit.cache.facts import digest_of, text_of
from tarkit.cache.identity import IdentityMapping
from tarkit.cache.ledger import Ledger, now
from tarkit.cache.options import DescHandlers
from tarkit.cache.providers import OpenLocation, Providers
from tarkit.cache.snapshots import Snapshots
from tarkit.image.digest import Digest
from tarkit.store.record import Record
from tarkit.store.store import Store
from tarkit.streams.closeable import Closeable


class OpenRef(Protocol):
    """A ref of this process."""

    @property
    def id(self) -> str: ...  # noqa: D102

    @property
    def is_released(self) -> bool: ...  # noqa: D102

    def release(self) -> None: ...  # noqa: D102


class Cache(Closeable):
    """The ledger, the snapshots and the providers of *store*, and the refs of this process."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = now,
        open_location: OpenLocation | None = None,
        identity_mapping: IdentityMapping | None = None,
    ) -> None:
        self.store = store
        self.identity_mapping = identity_mapping or IdentityMapping()
        self.providers = Providers(store, open_location)
        self.ledger = Ledger(store, clock, self._drop)
        self.snapshots = Snapshots(store, self.ledger, self.providers)
        self.sound: set[str] = (
            set()
        )  # records that have been checked, except for what later uses find
        self._refs: set[OpenRef] = set()
        self._lock = threading.Lock()
        self._locks: dict[object, threading.Lock] = {}

    def opened(self, ref: OpenRef) -> None:
        """Note that *ref* is open."""
        with self._lock:
            self._refs.add(ref)

    def closed(self, ref: OpenRef) -> None:
        """Note that *ref* is released."""
        with self._lock:
            self._refs.discard(ref)

    def is_open(self, record_id: str) -> bool:
        """Return True if this process has an open ref to the record."""
        with self._lock:
            return any(ref.id == record_id and not ref.is_released for ref in self._refs)

    def lock(self, key: object) -> threading.Lock:
        """Return the lock for *key*; equal keys have the same lock."""
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def finalize(self, record: Record, handlers: DescHandlers) -> None:
        """Give a committed ref a layer of its own; its mutable ref disappears."""
        if not text_of(record, facts.EQUAL_MUTABLE):
            return
        with self.lock(record.id):
            self.snapshots.finalize(record, handlers)

    def size(self, record: Record) -> int:
        """Return the bytes of the layer of *record* in the store: of its blob and its plain tar."""
        blob = digest_of(record, facts.BLOB)
        layer = self.snapshots.layer_of(record)
        stored = self.store.content.size(blob) if blob is not None else None
        return (stored or 0) + (layer.size if layer is not None else 0)

    def variants(self, diff_id: Digest) -> frozenset[str]:
        """Return the blobs of a layer that refs keep."""
        kept = {
            item
            for record in self.ledger.records.find(facts.diff_index(str(diff_id)))
            for item in record.contents
        }
        same = {str(digest) for digest in self.store.content.with_diff_id(diff_id)}
        return frozenset(kept & same)

    def close(self) -> None:
        """Release all refs of this process."""
        for ref in list(self._refs):
            ref.release()
        self.providers.close()

    def _drop(self, record: Record) -> None:
        self.snapshots.drop(record)
