"""The metadata of refs, open or not."""

from __future__ import annotations

from datetime import UTC, datetime

from tarkit.cache import facts
from tarkit.cache.facts import CachePolicy, RecordType, RefKind, number_of, text_of, texts_of
from tarkit.cache.ledger import Ledger, policy_of
from tarkit.image.digest import Digest
from tarkit.store.record import Record, Value


class RefMetadata:
    """The metadata of the ref *id*: each property is read from the store, and setting it is durable.

    All raise :class:`~tarkit.errors.NotFoundError` if the ref is gone.
    """

    def __init__(self, ledger: Ledger, record_id: str) -> None:
        self._ledger = ledger
        self._id = record_id

    @property
    def id(self) -> str:
        """The ID of the ref."""
        return self._id

    @property
    def record(self) -> Record:
        """The current record."""
        return self._ledger.find(self._id)

    @property
    def kind(self) -> RefKind:
        """The kind of the ref, by its origin."""
        return facts.kind_of(self.record)

    @property
    def is_mutable(self) -> bool:
        """True if it is a mutable ref."""
        return facts.is_mutable(self.record)

    @property
    def description(self) -> str:
        """A text for users."""
        return text_of(self.record, facts.DESCRIPTION)

    @description.setter
    def description(self, text: str) -> None:
        self._set(facts.DESCRIPTION, text or None)

    @property
    def created_at(self) -> datetime:
        """The time of creation."""
        return datetime.fromtimestamp(number_of(self.record, facts.CREATED), UTC)

    @created_at.setter
    def created_at(self, time: datetime) -> None:
        self._set(facts.CREATED, time.timestamp())

    @property
    def last_used_at(self) -> datetime | None:
        """The end of the last use, or None if the ref was never used."""
        used = number_of(self.record, facts.USED)
        return datetime.fromtimestamp(used, UTC) if used else None

    @property
    def usage_count(self) -> int:
        """The number of uses that have ended."""
        return int(number_of(self.record, facts.COUNT))

    @property
    def policy(self) -> CachePolicy:
        """The policy for the release of a mutable ref: keep or remove it."""
        return policy_of(self.record)

    @policy.setter
    def policy(self, policy: CachePolicy) -> None:
        self._set(facts.POLICY, policy.value)

    @property
    def record_type(self) -> RecordType:
        """The purpose of the ref."""
        return RecordType(text_of(self.record, facts.RECORD_TYPE) or RecordType.REGULAR.value)

    @record_type.setter
    def record_type(self, record_type: RecordType) -> None:
        self._set(facts.RECORD_TYPE, record_type.value)

    @property
    def layer_type(self) -> str:
        """The media type that exporters should prefer for the layer, or an empty text."""
        return text_of(self.record, facts.LAYER_TYPE)

    @layer_type.setter
    def layer_type(self, media_type: str) -> None:
        self._set(facts.LAYER_TYPE, media_type or None)

    @property
    def image_refs(self) -> tuple[str, ...]:
        """The names of the images that the ref belongs to."""
        return tuple(texts_of(self.record, facts.IMAGE_REFS))

    @property
    def equal_mutable(self) -> RefMetadata | None:
        """The mutable ref that has the same data, until it is finalized."""
        record = self.record
        found = None if facts.is_mutable(record) else self._ledger.partner(record)
        return RefMetadata(self._ledger, found.id) if found is not None else None

    @property
    def diff_id(self) -> Digest | None:
        """The digest of the uncompressed layer that the ref adds, if a blob states it."""
        return facts.digest_of(self.record, facts.DIFF_ID)

    @property
    def chain_id(self) -> str:
        """The chain ID of the layers (image-spec config.md), or an empty text."""
        return text_of(self.record, facts.CHAIN)

    @property
    def blob(self) -> Digest | None:
        """The digest of the blob of the layer that the ref adds, if it has one."""
        return facts.digest_of(self.record, facts.BLOB)

    @property
    def blob_chain_id(self) -> str:
        """The chain ID of blobs and their diff IDs together, or an empty text."""
        return text_of(self.record, facts.BLOB_CHAIN)

    @property
    def snapshot_id(self) -> str:
        """The ID of the data; refs whose layers have the same content share it."""
        return text_of(self.record, facts.SNAPSHOT) or self._id

    def get(self, key: str) -> Value:
        """Return the value under *key*, or None."""
        return self.record.values.get(key)

    def set(self, key: str, value: Value, *, index: str = "") -> None:
        """Set a value; :meth:`CacheManager.search` finds the ref by *index*."""
        with self._ledger.change() as change:
            change.update(self._id, {key: value}, {key: index} if index else None)

    def clear(self, key: str, *, index: bool = True) -> None:
        """Remove a value, and its index if *index*."""
        with self._ledger.change() as change:
            change.update(self._id, {key: None}, {key: None} if index else None)

    def external(self, key: str) -> bytes | None:
        """Return the bytes that another package stored under *key*, or None."""
        return self._ledger.records.external(self._id, key)

    def set_external(self, key: str, value: bytes | None) -> None:
        """Store bytes under *key*, or remove them."""
        with self._ledger.change() as change:
            change.set_external(self._id, key, value)

    def _set(self, key: str, value: Value) -> None:
        with self._ledger.change() as change:
            change.update(self._id, {key: value})
