"""Writing ``index.json``: which entry a new one replaces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Index, RawManifest
from tarkit.layout.names import REF_NAME, names_of

EMPTY_INDEX = Index(media_types.OCI_INDEX, ())


def named_entries(manifest: RawManifest, names: Iterable[str]) -> list[Descriptor]:
    """An entry for *manifest* under each of *names*; one without a name where there are none."""
    entries = [
        replace(manifest.descriptor, annotations={REF_NAME: name}) for name in dict.fromkeys(names)
    ]
    return entries or [manifest.descriptor]


def with_entries(index: Index, entries: Iterable[Descriptor]) -> Index:
    """*index* with *entries* added: each takes the place of the one that had its name.

    One with a full name as well, of which that was the tag only, stays under its full name. An
    entry without a name replaces one of the same digest without a name. Everything else stays.
    """
    manifests: list[Descriptor | None] = list(index.manifests)  # None where one was replaced
    places = _Places(index.manifests)
    for entry in entries:
        place = None
        for at in places.take(entry):
            if (old := manifests[at]) is not None:
                manifests[at] = _beside(old, entry)
                if manifests[at] is None and place is None:
                    place = at
        if place is None:
            place = len(manifests)
            manifests.append(None)
        manifests[place] = entry
        places.add(place, entry)
    return replace(index, manifests=tuple(entry for entry in manifests if entry is not None))


class _Places:
    """Where the entries of an index are, by their names; by digest if they have none."""

    def __init__(self, entries: Iterable[Descriptor]) -> None:
        self._places: dict[object, dict[int, None]] = {}
        for at, entry in enumerate(entries):
            self.add(at, entry)

    def add(self, at: int, entry: Descriptor) -> None:
        for key in names_of(entry.annotations) or (entry.digest,):
            self._places.setdefault(key, {})[at] = None

    def take(self, new: Descriptor) -> list[int]:
        """Return the places of all entries that *new* may replace, in order, and forget them."""
        key = new.annotations.get(REF_NAME) or new.digest
        return sorted(self._places.pop(key, ()))


def _beside(old: Descriptor, new: Descriptor) -> Descriptor | None:
    """What *old* is when *new* has its name: nothing, or all but a tag."""
    names, name = names_of(old.annotations), new.annotations.get(REF_NAME)
    if name is None:
        return None if old.digest == new.digest and not names else old
    if name not in names:
        return old
    if name == names[0]:
        return None
    return replace(old, annotations={k: v for k, v in old.annotations.items() if k != REF_NAME})
