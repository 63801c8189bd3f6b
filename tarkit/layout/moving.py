"""Move the blobs of an archive into the archive that replaces it, without reading them."""

from __future__ import annotations

from tarkit.protocols import AdoptedBytes
from tarkit.streams.uncached import read_at
from tarkit.tar import padding
from tarkit.tar.archive import Archive
from tarkit.tar.encode import encode
from tarkit.tar.member import Member, MemberType
from tarkit.tar.writer import TarWriter


def is_movable(archive: Archive, member: Member) -> bool:
    """Return True if *member* is a plain file, and the one that readers find under its name."""
    return (
        archive.descriptor is not None
        and member.type is MemberType.FILE
        and member.sparse is None
        and archive.find(member.name) == member
    )


class MemberMover:
    """Appends members of *archive* to *tar*, adjacent ones as one range; call :meth:`flush` at the end.

    Members at the start of both archives keep their offsets, so filesystems with reflinks share
    their blocks.
    """

    def __init__(self, tar: TarWriter, archive: Archive) -> None:
        assert archive.descriptor is not None
        self._tar = tar
        self._source = archive.descriptor
        self._start = self._end = 0  # the range that waits
        self._moved = self._copied = 0

    def add(self, member: Member, replacement: Member) -> None:
        """Append *member* with the header of *replacement*, which has the same size."""
        begin, data = member.offset, member.data_offset
        header = encode(replacement)
        if read_at(self._source, data - begin, begin) != header:
            self._flush()
            self._count(member.size, self._tar.add_from(replacement, self._source, data))
            self._start = self._end = -1  # the next member starts a new range
            return
        if begin != self._end:
            self._flush()
            self._start = begin
        self._end = data + member.size + padding(member.size)

    def flush(self) -> AdoptedBytes:
        """Append the range that waits; return the bytes moved since the start."""
        self._flush()
        return AdoptedBytes(self._moved, self._copied)

    def _flush(self) -> None:
        size = self._end - self._start
        if size:
            self._count(size, self._tar.add_range(self._source, self._start, size))
        self._start = self._end

    def _count(self, size: int, moved: int) -> None:
        self._moved += moved
        self._copied += size - moved
