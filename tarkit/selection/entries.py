"""The entries of a list of images that a name or position selects."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.protocols import ImageEntry, Reader, SelectingReader


def selected_entries(reader: Reader, name: str | None, index: int | None) -> Sequence[ImageEntry]:
    """Return the entries of *reader* with *name* or at *index*; all if both are None.

    Several entries have the same name only if they are the same image. Raises
    :class:`~tarkit.errors.ImageNotFoundError` and :class:`~tarkit.errors.AmbiguousImageError`.
    """
    if name is None and index is None:
        return reader.images()
    if name is not None and isinstance(reader, SelectingReader):
        return reader.matching(name)
    if index is not None:
        at_index = [entry for entry in reader.images() if entry.index == index]
        return at_index or _none(reader, index)
    names = reader.source(name).names
    return [entry for entry in reader.images() if set(names) & set(entry.names)]


def _none(reader: Reader, index: int) -> Sequence[ImageEntry]:
    reader.source(index=index)  # raises the error that lists the images
    return ()
