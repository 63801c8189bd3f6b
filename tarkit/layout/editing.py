"""Changes to ``index.json``, computed without writing; directories and archives carry them out."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.layout.entries import with_entries
from tarkit.layout.layout import Layout, LayoutImage
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME
from tarkit.layout.reachable import reachable_from, reachable_from_index
from tarkit.layout.referrers import subject_of_entry
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to a layout.

    ``index`` is the new ``index.json``, ``descriptor`` that of the changed image. ``added`` are new
    documents, to be stored before the index; ``removed`` are blobs that nothing refers to
    afterwards.
    """

    index: Index
    descriptor: Descriptor
    added: tuple[RawManifest, ...] = ()
    removed: frozenset[Digest] = frozenset()


@dataclass(frozen=True, slots=True)
class Edited:
    """An ``edit`` that was carried out; ``removed`` blobs had ``bytes`` in total."""

    edit: Edit
    removed: int
    bytes: int


def tagged(layout: Layout, name: str | None, position: int | None, names: Sequence[str]) -> Edit:
    """Give the image with *name* or at *position* the additional *names*.

    Another image loses a name that it shares with them. An image without a name is renamed. Raises
    the errors of :meth:`Layout.find`.
    """
    image = layout.find(name, position)
    others = {
        key: text
        for key, text in image.descriptor.annotations.items()
        if key not in (CONTAINERD_NAME, REF_NAME)
    }
    entries = [
        replace(image.descriptor, annotations={**others, REF_NAME: text})
        for text in dict.fromkeys(names)
    ]
    listing = layout.listing()
    if not image.names:
        kept = (entry for entry in listing.manifests if entry != image.descriptor)
        listing = replace(listing, manifests=tuple(kept))
    return Edit(with_entries(listing, entries), image.descriptor, _top(layout))


def without(layout: Layout, name: str | None, position: int | None) -> Edit:
    """Remove the entry of the image with *name* or at *position*, and the blobs that only it needs.

    The image's referrers go with it, unless the layout keeps the image under another name. Raises
    the errors of :meth:`Layout.find`, and those of :func:`~tarkit.layout.reachable.reachable` if
    another image is unreadable, since its blobs are then unknown.
    """
    image = layout.find(name, position)
    if layout.is_flat():
        index = replace(layout.listing(), manifests=())
        return Edit(index, image.descriptor, removed=frozenset(_all(layout)))
    index = _without_orphans(layout, image)
    removed = _all(layout) - reachable_from_index(layout, index)
    return Edit(index, image.descriptor, removed=frozenset(removed))


def replaced(
    layout: Layout, name: str | None, position: int | None, documents: Sequence[RawManifest]
) -> Edit:
    """Replace the image with *name* or at *position* by the last of *documents*, under its names.

    *documents* are new manifests and indexes, each after those that it refers to. Raises the errors
    of :meth:`Layout.find`.
    """
    image = layout.find(name, position)
    top = documents[-1].descriptor
    new = image.descriptor.with_content(top.media_type, top.digest, top.size)
    entries = tuple(
        new if entry == image.descriptor else entry for entry in layout.listing().manifests
    )
    return Edit(replace(layout.listing(), manifests=entries), new, tuple(documents))


def _top(layout: Layout) -> tuple[RawManifest, ...]:
    """Return a flat index, which must become a blob because the new index lists it."""
    return (layout.top,) if layout.is_flat() else ()


def _all(layout: Layout) -> set[Digest]:
    """Return everything in use before the change; broken content of the image itself is no obstacle."""
    return reachable_from_index(layout, layout.index, strict=False)


def _without_orphans(layout: Layout, image: LayoutImage) -> Index:
    """Return the index without *image*, and without referrers whose subject went with it."""
    before = _all(layout)
    entries = [
        each.descriptor
        for each in layout.entries()
        if isinstance(each, LayoutImage) and each.index != image.index
    ]
    subjects = {at: subject_of_entry(layout, entry) for at, entry in enumerate(entries)}
    orphans = {at: subject for at, subject in subjects.items() if subject in before}
    kept = reachable_from(layout, [e for at, e in enumerate(entries) if at not in orphans])
    while alive := [at for at, subject in orphans.items() if subject in kept]:
        for at in alive:  # a referrer may have referrers itself, so look again
            del orphans[at]
        kept |= reachable_from(layout, [entries[at] for at in alive])
    left = tuple(entry for at, entry in enumerate(entries) if at not in orphans)
    return replace(layout.index, manifests=left)
