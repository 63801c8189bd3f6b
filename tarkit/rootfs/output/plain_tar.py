"""Convert a tar for other programs: no sparse members, no attributes that Linux does not return.

Programs support few dialects of sparse members, and mksquashfs 4.5 rejects the POSIX form as
corrupt. So holes are written out as zeros, which the program detects again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from tarkit.rootfs.output.xattrs import sort_xattrs
from tarkit.streams import CHUNK_SIZE
from tarkit.streams.chunks import chunks_of
from tarkit.tar import padding
from tarkit.tar.data import FileData, StoredData
from tarkit.tar.encode import encode
from tarkit.tar.member import Member
from tarkit.tar.reader import TarReader
from tarkit.tar.sparse import logical
from tarkit.values import replace

_WHERE = "the tar"


class PlainTar:
    """The plain form of *file*, an uncompressed tar.

    ``members`` are the original members; ``lost`` counts those that lose attributes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._data = FileData(file, _WHERE)
        self.members: Sequence[Member] = list(TarReader(self._data.tape()))
        self.lost = sum(sort_xattrs(member).lost for member in self.members)

    @property
    def is_unchanged(self) -> bool:
        """True if the plain form is the same as the original."""
        return all(member.sparse is None for member in self.members) and not self.lost

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the whole tar, with converted members; copy everything else unchanged."""
        position = 0
        for member in self.members:
            kept, lost = sort_xattrs(member)
            if member.sparse is None and not lost:
                continue
            # copy up to the member's headers, then skip its original headers and data
            yield from self._copied(position, member.offset)
            yield encode(replace(member, sparse=None, xattrs=kept))
            yield from logical(member, chunks_of(StoredData(self._data, member, _WHERE)))
            yield bytes(padding(member.size))
            position = member.data_offset + member.stored + padding(member.stored)
        yield from self._copied(position, None)

    def _copied(self, start: int, end: int | None) -> Iterator[bytes]:
        """Yield the bytes of the file from *start* to before *end*."""
        while end is None or start < end:
            size = CHUNK_SIZE if end is None else min(end - start, CHUNK_SIZE)
            data = self._data.read_at(start, size)
            if not data:
                return
            yield data
            start += len(data)
