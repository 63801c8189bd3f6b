"""BuildKit's attestation manifests: index entries that refer to the image they describe."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.values import replace

_REFERENCE_TYPE = "vnd.docker.reference.type"
_REFERENCE_DIGEST = "vnd.docker.reference.digest"


def is_attestation(entry: Descriptor) -> bool:
    """Return True if the index entry *entry* is BuildKit's attestation of another entry."""
    return _REFERENCE_TYPE in entry.annotations


def with_reference(entry: Descriptor, stored: Mapping[Digest, Descriptor]) -> Descriptor:
    """Return *entry* with its reference to an image updated to the digest of the stored image.

    *stored* maps the digests of source manifests to their descriptors at the destination.
    """
    algorithm, _, value = entry.annotations.get(_REFERENCE_DIGEST, "").partition(":")
    old = Digest.from_parts(algorithm, value)
    now = stored.get(old) if old else None
    if now is None or now.digest == old:
        return entry
    annotations = {**entry.annotations, _REFERENCE_DIGEST: str(now.digest)}
    return replace(entry, annotations=annotations)
