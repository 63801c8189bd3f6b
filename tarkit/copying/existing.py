"""Preserve the images of an archive when an image is added, which rewrites the whole archive."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from tarkit.copying.engine import copy_image
from tarkit.copying.inventory import blobs_of
from tarkit.copying.known import KnownLayers
from tarkit.copying.names import NameRules
from tarkit.copying.options import CopyOptions, LayerCompression, Sparse
from tarkit.errors import MalformedError, NotAnImageError, VerificationError
from tarkit.image import media_types
from tarkit.image.media_types import Compression
from tarkit.protocols import (
    AdoptedBytes,
    AdoptingWriter,
    Destination,
    ImageEntry,
    KeepingWriter,
    Reader,
    Source,
    Writer,
)
from tarkit.streams.codecs import detect
from tarkit.streams.os_errors import os_errors
from tarkit.values import dataclass, replace

_UNCHANGED = "it is left unchanged: remove it, or write to another file"
_ALL = CopyOptions(all=True, sparse=Sparse.KEEP, compression=LayerCompression.PRESERVE)


@dataclass(frozen=True, slots=True)
class Kept:
    """The images of an existing archive that were kept, and how many bytes of blobs that took.

    The filesystem moved ``bytes_moved`` without reading them into this process; ``bytes_copied``
    were read, verified and written again.

    >>> result = tarkit.copy_images(["fixtures/hello.tar"], "docker-archive:all.tar")
    >>> tarkit.copy_images(["oci:alpha/umoci-oci:one"], "docker-archive:all.tar").kept.images
    1
    """

    images: int = 0
    bytes_moved: int = 0
    bytes_copied: int = 0


def keep_archive(
    path: Path,
    open_existing: Callable[[], Reader],
    writer: Writer,
    *,
    except_names: Collection[str],
    rules: NameRules,
    known: KnownLayers,
    verify: bool = False,
) -> Kept:
    """Copy the images of the archive at *path*, if it exists, to the *writer* that replaces it.

    The filesystem moves their blobs if it can, which leaves the layers unverified. With *verify*,
    all blobs are read and verified instead. The layers that were moved are added to *known*, under
    the diff IDs in their configs, so that new images reuse them.

    *open_existing* opens the archive. *except_names* are names that a new image is about to take,
    as in :func:`copy_existing`; *rules* determine which names are equal. Raises
    :class:`~tarkit.errors.VerificationError` if an image in the archive is broken.
    """
    if not path.exists() or not path.stat().st_size:  # mktemp creates an empty file
        return Kept()
    try:
        with open_existing() as reader:
            return _copy_all(
                reader, writer, except_names, rules.normalize, known=None if verify else known
            )
    except (VerificationError, NotAnImageError) as error:
        if not _is_archive(path):
            raise NotAnImageError(
                "exists and is not an archive of images", where=str(path), hint=_UNCHANGED
            ) from None
        error.where = str(path)
        error.message = f"exists, but its images cannot be kept: {error.message}"
        error.hint = _UNCHANGED
        raise


def _is_archive(path: Path) -> bool:
    """Return True if the file at *path* begins like a tar, or is compressed."""
    from tarkit.tar import BLOCK_SIZE
    from tarkit.tar.header import decode

    with os_errors(path), path.open("rb") as file:
        head = file.read(BLOCK_SIZE)
    if detect(head) is not Compression.NONE:
        return True
    try:
        decode(head.ljust(BLOCK_SIZE))
    except MalformedError:
        return not any(head)
    return True


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

    Raises the errors of :func:`~tarkit.copying.engine.copy_image`.

    >>> with (
    ...     tarkit.open_reader("fixtures/hello.tar") as reader,
    ...     tarkit.open_writer("docker-archive:all.tar") as writer,
    ... ):
    ...     tarkit.copy_existing(reader, writer)
    1
    """
    return _copy_all(reader, writer, except_names, normalize).images


def _copy_all(
    reader: Reader,
    writer: Writer,
    except_names: Collection[str],
    normalize: Callable[[str], str | None],
    *,
    known: KnownLayers | None = None,
) -> Kept:
    """Copy the images; if *known* is given, move their blobs and add their layers to it."""
    if isinstance(writer, KeepingWriter):
        writer.keep_list(reader)
    staying = list(_staying(reader, except_names, normalize))
    moved = AdoptedBytes()
    if known is not None and isinstance(writer, AdoptingWriter):
        moved = writer.adopt(reader, blobs_of(reader, [image for image, _, _ in staying], known))
    copied = 0
    for image, names, keeps_names in staying:
        source = reader.source(index=image.index)
        copied += _copy_one(source, image, writer, names, keeps_names=keeps_names)
    return Kept(len(staying), moved.bytes_moved, moved.bytes_copied + copied)


def _staying(
    reader: Reader, except_names: Collection[str], normalize: Callable[[str], str | None]
) -> Iterator[tuple[ImageEntry, list[str], bool]]:
    """Yield the images to keep with their remaining names; the flag is true if all names remain."""
    taken = set(map(normalize, except_names))
    for image in reader.images():
        names = reader.source(index=image.index).names
        valid = [name for name in names if normalize(name) is not None]
        kept = [name for name in valid if normalize(name) not in taken]
        # An image without a valid name is kept without a name.
        if kept or not valid:
            yield image, kept, kept == valid


def _copy_one(
    source: Source, image: ImageEntry, writer: Writer, names: list[str], *, keeps_names: bool
) -> int:
    """Copy one image; return the number of bytes written."""
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
    result = copy_image(source, destination, replace(_ALL, preserve_digests=unchanged))
    return result.bytes_written
