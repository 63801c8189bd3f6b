"""Keeping what an archive holds when another image is added: archives are written anew as a whole."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression, Sparse
from tarkit.image import media_types
from tarkit.protocols import KeepingWriter, Reader, Writer

_ALL = CopyOptions(all=True, sparse=Sparse.KEEP, compression=LayerCompression.PRESERVE)


def copy_existing(
    reader: Reader,
    writer: Writer,
    *,
    except_names: Collection[str] = (),
    in_full: Callable[[str], str | None] = str,
) -> int:
    """Copy every image of *reader* to *writer* under its names, with all annotations; how many there were.

    *except_names* are about to be given to another image. One that has no other name is left out.
    Names compare as *in_full* writes them; what it makes nothing of is no name.
    """
    taken = set(map(in_full, except_names))
    carried = 0
    if isinstance(writer, KeepingWriter):
        writer.keep_list(reader)
    for image in reader.images():
        source = reader.source(index=image.index)
        known = [name for name in source.names if in_full(name) is not None]
        names = [name for name in known if in_full(name) not in taken]
        if names or not known:
            whole = isinstance(writer, KeepingWriter) and names == known
            destination = (
                writer.keeping(image, names)
                if isinstance(writer, KeepingWriter)
                else writer.destination(*names)
            )
            as_is = whole and destination.profile.holds == frozenset(media_types.Compression)
            unchanged = as_is and source.manifest().media_type not in media_types.SCHEMA1
            copy_image(source, destination, replace(_ALL, preserve_digests=unchanged))
            carried += 1
    return carried
