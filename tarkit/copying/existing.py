"""Preserve the images of an archive when an image is added, which rewrites the whole archive."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from tarkit.copying.engine import copy_image
from tarkit.copying.names import NameRules
from tarkit.copying.options import CopyOptions, LayerCompression, Sparse
from tarkit.errors import VerificationError
from tarkit.image import media_types
from tarkit.protocols import Destination, ImageEntry, KeepingWriter, Reader, Source, Writer

_ALL = CopyOptions(all=True, sparse=Sparse.KEEP, compression=LayerCompression.PRESERVE)


def keep_archive(
    path: Path,
    open_existing: Callable[[], Reader],
    writer: Writer,
    *,
    except_names: Collection[str],
    rules: NameRules,
) -> int:
    """Copy the images of the archive at *path*, if it exists, to the *writer* that replaces it.

    *open_existing* opens the archive. *except_names* are names that a new image is about to take,
    as in :func:`copy_existing`; *rules* determine which names are equal. Returns the number of
    images copied. Raises :class:`~tarkit.errors.VerificationError` if an image in the archive is
    broken.
    """
    if not path.exists() or not path.stat().st_size:  # mktemp creates an empty file
        return 0
    try:
        with open_existing() as reader:
            return copy_existing(
                reader, writer, except_names=except_names, normalize=rules.normalize
            )
    except VerificationError as error:
        error.hint = "existing images are kept: remove the file, or write to another one"
        raise


def copy_existing(
    reader: Reader,
    writer: Writer,
    *,
    except_names: Collection[str] = (),
    normalize: Callable[[str], str | None] = str,
) -> int:
    """Copy every image of *reader* to *writer* with its names and annotations.

    *except_names* are names that a new image is about to take. An image that has no other names is
    omitted. *normalize* returns the form in which names are compared, or None for an invalid name,
    which is dropped. Returns the number of images copied.
    """
    taken = set(map(normalize, except_names))
    copied = 0
    if isinstance(writer, KeepingWriter):
        writer.keep_list(reader)
    for image in reader.images():
        source = reader.source(index=image.index)
        valid = [name for name in source.names if normalize(name) is not None]
        kept = [name for name in valid if normalize(name) not in taken]
        # An image without a valid name is kept without a name.
        if kept or not valid:
            _copy_one(source, image, writer, kept, keeps_names=kept == valid)
            copied += 1
    return copied


def _copy_one(
    source: Source, image: ImageEntry, writer: Writer, names: list[str], *, keeps_names: bool
) -> None:
    destination: Destination
    unchanged = False
    if isinstance(writer, KeepingWriter):
        destination = writer.keeping(image, names)
        # Digests are preserved if the writer can hold every compression and converts nothing.
        holds_all = destination.profile.holds == frozenset(media_types.Compression)
        is_schema1 = source.manifest().media_type in media_types.SCHEMA1
        unchanged = keeps_names and holds_all and not is_schema1
    else:
        destination = writer.destination(*names)
    copy_image(source, destination, replace(_ALL, preserve_digests=unchanged))
