"""Remove one image from a store."""

from __future__ import annotations

from pathlib import Path

from tarkit.layout.layout import LayoutImage
from tarkit.store.gc import Garbage, collect
from tarkit.store.store import Store


def remove_image(
    root: str | Path, name: str | None, position: int | None = None
) -> tuple[LayoutImage, Garbage]:
    """Remove the name of an image from the store at *root*; return the image and removed garbage.

    Content that another name, a record, a lease or a running process needs stays. Raises the errors
    of :meth:`tarkit.layout.layout.Layout.find`, and those of :func:`~tarkit.store.gc.collect` if
    another image is unreadable, since its content is then unknown.
    """
    with Store.open(root, create=False) as store:
        store.database.require_sound()  # before anything changes
        image, unreferenced = store.names.remove(name, position)
        return image, collect(store, only=unreferenced)
