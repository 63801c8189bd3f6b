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

    An entry without a name replaces one of the same digest without a name. Everything else stays.
    """
    manifests = list(index.manifests)
    for entry in entries:
        place = next(
            (at for at, old in enumerate(manifests) if _is_replaced(old, entry)), len(manifests)
        )
        manifests = [old for old in manifests if not _is_replaced(old, entry)]
        manifests.insert(place, entry)
    return replace(index, manifests=tuple(manifests))


def _is_replaced(old: Descriptor, new: Descriptor) -> bool:
    name = new.annotations.get(REF_NAME)
    if name is None:
        return old.digest == new.digest and not names_of(old.annotations)
    return name in names_of(old.annotations)
