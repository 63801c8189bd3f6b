"""The values that the cache keeps for each ref in the records of the store, and their meaning.

The names are those of BuildKit's cache, so that its documentation applies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import Enum

from tarkit.image.digest import Digest
from tarkit.store.record import Record

CREATED = "createdAt"  # seconds since the epoch
USED = "lastUsedAt"
COUNT = "usageCount"
DESCRIPTION = "description"
RECORD_TYPE = "recordType"
LAYER_TYPE = "layerType"
POLICY = "cachePolicy"
KIND = "kind"
MUTABLE = "mutable"
EQUAL_MUTABLE = "equalMutable"
LOWER, UPPER = "lower", "upper"  # of a diff
LAYER = "layer"  # the key of the plain tar that only this record has
SNAPSHOT = "snapshot"
STAGED = "staged"  # true if a mutable ref has staged changes
DIFF_ID = "diffID"
CHAIN = "chainID"
BLOB_CHAIN = "blobChainID"
BLOB = "blob"
BLOB_SIZE = "blobSize"
MEDIA_TYPE = "mediaType"
ANNOTATIONS = "annotations"  # as KEY=VALUE
URLS = "urls"
IMAGE_REFS = "imageRefs"
TREE = "tree"  # the key of the unpacked directory for mounts
LOCATION = "location"  # of the image that has the blob

UNCOMPRESSED = "containerd.io/uncompressed"
"""The annotation of a layer's descriptor with its diff ID."""


class RefKind(Enum):
    """The kinds of refs, by their origin and number of parents."""

    BASE_LAYER = "base-layer"  # no parent
    LAYER = "layer"  # one parent
    MERGE = "merge"  # several parents
    DIFF = "diff"  # the changes from a lower parent to an upper one


class RecordType(Enum):
    """The purposes of refs; they decide how long a ref is kept."""

    INTERNAL = "internal"
    FRONTEND = "frontend"
    LOCAL_SOURCE = "source.local"
    GIT_CHECKOUT = "source.git.checkout"
    CACHE_MOUNT = "exec.cachemount"
    REGULAR = "regular"


class CachePolicy(Enum):
    """The policies for the release of a mutable ref: keep or remove it with its data."""

    DEFAULT = "default"  # they are removed, unless it was committed and finalized
    RETAIN = "retain"


def kind_of(record: Record) -> RefKind:
    """Return the kind of a ref."""
    return RefKind(record.values.get(KIND, RefKind.BASE_LAYER.value))


def is_mutable(record: Record) -> bool:
    """Return True if the ref is mutable."""
    return bool(record.values.get(MUTABLE))


def text_of(record: Record, key: str) -> str:
    """Return a text of a record, or an empty text."""
    value = record.values.get(key)
    return value if isinstance(value, str) else ""


def number_of(record: Record, key: str) -> float:
    """Return a number of a record, or 0."""
    value = record.values.get(key)
    return value if isinstance(value, int | float) else 0


def texts_of(record: Record, key: str) -> list[str]:
    """Return the texts of a list in a record."""
    value = record.values.get(key)
    return value if isinstance(value, list) else []


def digest_of(record: Record, key: str) -> Digest | None:
    """Return a digest of a record, or None."""
    text = text_of(record, key)
    return Digest.parse(text) if text else None


def chain_index(chain_id: str) -> str:
    """Return the text that finds records by chain ID."""
    return f"chainid:{chain_id}"


def blob_chain_index(chain_id: str) -> str:
    """Return the text that finds records by the chain ID of their blobs."""
    return f"blobchainid:{chain_id}"


def diff_index(diff_id: str) -> str:
    """Return the text that finds records by the diff ID of their own layer."""
    return f"diffid:{diff_id}"


def mutable_index(record_id: str) -> str:
    """Return the text that finds the immutable ref that shares the data of a mutable one."""
    return f"equalmutable:{record_id}"


def chained(chain: str, digests: Iterable[str]) -> str:
    """Return the chain ID of *digests* on top of *chain*, which may be empty (config.md)."""
    for digest in digests:
        joined = f"{chain} {digest}".encode()
        chain = f"sha256:{hashlib.sha256(joined).hexdigest()}" if chain else digest
    return chain
