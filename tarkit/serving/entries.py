"""Changes to the index of a served layout, as pure functions of the index."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME, names_of
from tarkit.serving.names import Place, RegistryNaming
from tarkit.values import replace


def with_untagged(index: Index, manifest: Descriptor) -> Index:
    """Return *index* with an entry for *manifest* that has no name."""
    return replace(index, manifests=(*index.manifests, manifest))


def with_tagged(
    index: Index,
    manifest: Descriptor,
    place: Place,
    naming: RegistryNaming,
    below: Collection[Digest],
) -> Index:
    """Return *index* with *manifest* at *place*, in the position of the entry that it replaces.

    Entries without a name are dropped if they are *manifest* itself or one of its children *below*:
    a client pushes the images of an index before the index.
    """
    entries: list[Descriptor] = []
    position: int | None = None
    for old in index.manifests:
        rest = _without(old, place, naming)
        if rest is None:
            position = len(entries) if position is None else position
        elif names_of(rest.annotations) or rest.digest not in {manifest.digest, *below}:
            entries.append(rest)
    named = replace(manifest, annotations={REF_NAME: naming.name_of(place)})
    entries.insert(len(entries) if position is None else position, named)
    return replace(index, manifests=tuple(entries))


def without_tag(index: Index, place: Place, naming: RegistryNaming) -> Index:
    """Return *index* without the tag *place*; an image with no other name stays without one."""
    entries: list[Descriptor] = []
    for old in index.manifests:
        rest = _without(old, place, naming)
        if rest is None:
            others = (entry for entry in index.manifests if entry is not old)
            if any(entry.digest == old.digest for entry in others):
                continue
            rest = replace(old, annotations=_annotations(old, lambda _: False))
        entries.append(rest)
    return replace(index, manifests=tuple(entries))


def without_manifest(
    index: Index, digest: Digest, repository: str, naming: RegistryNaming
) -> Index:
    """Return *index* without the entries for *digest* in *repository*, or without a repository."""

    def is_meant(entry: Descriptor) -> bool:
        places = list(naming.places(names_of(entry.annotations)))
        here = not places or any(place.repository == repository for place in places)
        return entry.digest == digest and here

    kept = tuple(entry for entry in index.manifests if not is_meant(entry))
    return replace(index, manifests=kept)


def _without(entry: Descriptor, place: Place, naming: RegistryNaming) -> Descriptor | None:
    """Return *entry* without its name for *place*, or None if it has no other name."""
    places = set(naming.places(names_of(entry.annotations)))
    if place not in places:
        return entry
    if places == {place}:
        return None
    return replace(entry, annotations=_annotations(entry, lambda name: naming.place(name) != place))


def _annotations(entry: Descriptor, keeps: Callable[[str], bool]) -> dict[str, str]:
    names = {CONTAINERD_NAME, REF_NAME}
    return {k: v for k, v in entry.annotations.items() if k not in names or keeps(v)}
