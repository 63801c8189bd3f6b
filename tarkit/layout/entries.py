"""Add entries to ``index.json``, replacing entries with the same name."""

from __future__ import annotations

from collections.abc import Iterable

from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Index, RawManifest
from tarkit.layout.names import REF_NAME, names_of
from tarkit.values import replace

EMPTY_INDEX = Index(media_types.OCI_INDEX, ())


def named_entries(manifest: RawManifest, names: Iterable[str]) -> list[Descriptor]:
    """Return an entry for *manifest* under each of *names*, or an unnamed entry without names."""
    entries = [
        replace(manifest.descriptor, annotations={REF_NAME: name}) for name in dict.fromkeys(names)
    ]
    return entries or [manifest.descriptor]


def with_entries(index: Index, entries: Iterable[Descriptor]) -> Index:
    """Return *index* with *entries* added; each takes the position of the entry that had its name.

    If the name was only the tag of an entry that also has a full name, that entry loses the tag but
    keeps its full name. An unnamed entry replaces an unnamed entry with the same digest. All other
    entries are kept.
    """
    manifests: list[Descriptor | None] = list(index.manifests)  # None if replaced
    positions = _Positions(index.manifests)
    for entry in entries:
        # If several entries had the name, the new entry replaces the first and removes the others.
        position: int | None = None
        for old_position in positions.take(entry):
            if (old := manifests[old_position]) is not None:
                manifests[old_position] = _without_name(old, entry)
                if manifests[old_position] is None and position is None:
                    position = old_position
        if position is None:
            position = len(manifests)
            manifests.append(None)
        manifests[position] = entry
        positions.add(position, entry)
    return replace(index, manifests=tuple(entry for entry in manifests if entry is not None))


class _Positions:
    """The positions of an index's entries by name, or by digest if an entry has no name."""

    def __init__(self, entries: Iterable[Descriptor]) -> None:
        # Dicts serve as ordered sets, so that a large index takes linear time.
        self._positions: dict[object, dict[int, None]] = {}
        for position, entry in enumerate(entries):
            self.add(position, entry)

    def add(self, position: int, entry: Descriptor) -> None:
        for key in names_of(entry.annotations) or (entry.digest,):
            self._positions.setdefault(key, {})[position] = None

    def take(self, new: Descriptor) -> list[int]:
        """Remove and return, in order, the positions of all entries that *new* may replace."""
        key = new.annotations.get(REF_NAME) or new.digest
        return sorted(self._positions.pop(key, ()))


def _without_name(old: Descriptor, new: Descriptor) -> Descriptor | None:
    """Return *old* after *new* has taken its name: the entry without its tag, or None."""
    names, name = names_of(old.annotations), new.annotations.get(REF_NAME)
    if name is None:
        return None if old.digest == new.digest and not names else old
    if name not in names:
        return old
    if name == names[0]:  # the full name, or the only name
        return None
    return replace(old, annotations={k: v for k, v in old.annotations.items() if k != REF_NAME})
