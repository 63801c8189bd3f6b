"""Referrers in a layout: manifests with a subject, such as signatures.

A layout has no API to ask for them. tarkit lists them as clients do in registries without one: in an
index named after the digest of the subject (distribution-spec, "Referrers Tag Schema"). It also reads
those that are entries of ``index.json`` themselves, as ORAS writes them.
"""

from __future__ import annotations

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import INDEXES, MANIFESTS
from tarkit.layout.layout import Layout
from tarkit.layout.names import REF_NAME, names_of
from tarkit.layout.reachable import subject_in


def subject_of_entry(layout: Layout, entry: Descriptor) -> Digest | None:
    """Return the digest whose referrers *entry* of ``index.json`` lists or is; None for an image."""
    names = names_of(entry.annotations)
    if names:
        is_list = entry.media_type in INDEXES and len(names) == 1
        return subject_of_name(entry.annotations.get(REF_NAME, "")) if is_list else None
    return subject_in(layout, entry.digest) if entry.media_type in MANIFESTS | INDEXES else None


def subject_of_name(name: str) -> Digest | None:
    """Return the digest in *name*, a tag of the form ``algorithm-hex``, or None."""
    algorithm, _, value = name.partition("-")
    return Digest.from_parts(algorithm, value)
