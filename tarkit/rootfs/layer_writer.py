"""Write the difference of two root filesystems as a layer: one deterministic tar."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO

from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layer_changes import layer_entries
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import write_all
from tarkit.tar.listing import Listing
from tarkit.tar.writer import TarWriter
from tarkit.values import dataclass, replace

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True)
class WrittenLayer:
    """A plain layer: the digest and size of the tar, and its members."""

    diff_id: Digest
    size: int
    listing: Listing


def write_layer(old: FileSystem, new: FileSystem, output: BinaryIO) -> WrittenLayer:
    """Write the layer that turns *old* into *new* to *output*, which may be a pipe.

    The same two root filesystems always give the same bytes (image-spec layer.md, "Creating a
    changeset"; see :mod:`tarkit.rootfs.layer_changes` for the rules). Times are in whole seconds,
    and pax headers are used only if needed. If nothing changed, the tar has no entries.

    Files are read one by one from their places, so compressed layers with many changed files are
    slow. Raises :class:`~tarkit.errors.MalformedError` for a name that begins like a whiteout, and
    the errors of reading and writing.
    """
    hashing = _Hashing(output)
    listing = Listing()
    buffered = io.BufferedWriter(hashing, CHUNK_SIZE)
    with TarWriter(buffered) as writer:  # type: ignore[arg-type]
        for entry, node in layer_entries(old, new):
            member = entry.member
            if node is None or entry.link or not entry.has_data:
                listing.append(writer.add(member))
                continue
            with new.contents.open_stored(node) as data:
                if member.sparse is not None:  # the writer itself aligns the segments
                    member = replace(member, sparse=entry.meta.sparse)
                listing.append(writer.add(member, data))
    buffered.flush()
    listing.seal()
    return WrittenLayer(Digest("sha256", hashing.hexdigest()), hashing.size, listing)


class _Hashing(io.RawIOBase):
    """Passes data on to *output*, and computes its digest and size."""

    def __init__(self, output: BinaryIO) -> None:
        super().__init__()
        self._output = output
        self._hasher = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        view = memoryview(data)
        write_all(self._output, view)
        self._hasher.update(view)
        self.size += len(view)
        return len(view)

    def hexdigest(self) -> str:
        return self._hasher.hexdigest()
