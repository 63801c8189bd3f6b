"""Referrers in a layout: manifests with a subject, such as signatures.

A layout has no API to ask for them. tarkit lists them as clients do in registries without one: in an
index named after the digest of the subject (:mod:`tarkit.image.referrer`). It also reads those that
are entries of ``index.json`` themselves, as ORAS writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS
from tarkit.image.referrer import (
    NO_REFERRERS,
    referrer_entry,
    referrers_tag,
    subject_in_tag,
    subject_of,
    with_referrer,
)
from tarkit.layout.layout import Layout
from tarkit.layout.names import REF_NAME, names_of
from tarkit.layout.reachable import subject_in
from tarkit.values import replace


def subject_of_entry(layout: Layout, entry: Descriptor) -> Digest | None:
    """Return the digest whose referrers *entry* of ``index.json`` lists or is; None for an image."""
    if names := names_of(entry.annotations):
        is_list = entry.media_type in INDEXES and names == (entry.annotations.get(REF_NAME),)
        return subject_in_tag(names[0]) if is_list else None
    return subject_in(layout, entry.digest) if entry.media_type in MANIFESTS | INDEXES else None


def referrers_of(layout: Layout, digest: Digest) -> Index:
    """Return an index of the referrers of *digest* in *layout*."""
    index = NO_REFERRERS
    for entry in layout.index.manifests:
        if subject_of_entry(layout, entry) == digest:
            raw = layout.manifest(entry)
            is_list = REF_NAME in entry.annotations
            found = Index.parse(raw).manifests if is_list else (referrer_entry(raw),)
            for referrer in found:
                index = with_referrer(index, referrer)
    return index


def lists_in(layout: Layout) -> dict[str, Index]:
    """Return the indexes of referrers in *layout* by name."""
    return {
        name: Index.parse(layout.manifest(entry))
        for entry in layout.index.manifests
        if entry.media_type in INDEXES
        and (name := entry.annotations.get(REF_NAME, ""))
        and subject_in_tag(name)
    }


def referrer_lists(
    old: Mapping[str, Index], referrers: Iterable[RawManifest]
) -> dict[str, RawManifest]:
    """Return the indexes, by name, that list *referrers* as well as what the *old* ones list.

    A manifest without a subject is left out.
    """
    lists: dict[str, Index] = {}
    for manifest in referrers:
        if subject := subject_of(manifest):
            name = referrers_tag(subject.digest)
            index = lists.get(name) or old.get(name) or NO_REFERRERS
            lists[name] = with_referrer(index, referrer_entry(manifest))
    return {name: index.serialize() for name, index in lists.items()}


def list_entry(name: str, index: RawManifest) -> Descriptor:
    """Return the entry of ``index.json`` for an *index* of referrers."""
    return replace(index.descriptor, annotations={REF_NAME: name})
