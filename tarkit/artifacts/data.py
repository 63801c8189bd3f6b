"""File data on its way into an image, in the same order and to the same places from any source.

Layers that can be read from the top are read once, and data is stored as it goes by, unless what
was read before hides it. Layers in any other order, and those that may not fit, are measured first:
blocks of zeros take no room, so only the data tells how much it needs. Then the same places are
reserved, and the layers are read again in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tarkit.ext4 import Ext4Writer, FileExtents, Region, data_size
from tarkit.rootfs.tree import DataLocation, Node
from tarkit.tar.member import Member

_BLOCK = 4096


class Sizes:
    """How many bytes of an image the data at each place takes; a sink that measures it."""

    def __init__(self) -> None:
        self._measured: dict[DataLocation, int] = {}

    def __contains__(self, place: DataLocation) -> bool:
        return place in self._measured

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
        self._measured[place] = data_size(chunks, member.size, regions_of(member))

    def get(self, place: DataLocation) -> int:
        """Return the size at *place*, which was measured."""
        return self._measured[place]

    def at_most(self, nodes: Mapping[DataLocation, Node]) -> int:
        """Return what all *nodes* take, exactly if all were measured."""
        return sum(
            self._measured.get(place, -(-node.member.stored // _BLOCK) * _BLOCK)
            for place, node in nodes.items()
        )


class BlockSink:
    """The data of files, by their place in the layers, in the image that *writer* makes; a sink.

    *overlay* is the number of the layer that is delivered last, though it is the highest.
    """

    def __init__(self, writer: Ext4Writer, overlay: int) -> None:
        self._writer = writer
        self._overlay = overlay
        self._reserved: dict[DataLocation, FileExtents] = {}
        self.sizes = Sizes()
        self.contents: dict[DataLocation, FileExtents] = {}

    def reserve(self, place: DataLocation) -> None:
        """Give the data at *place*, which was measured, its blocks."""
        self._reserved[place] = self._writer.reserve(self.sizes.get(place))

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
        reserved = self._reserved.pop(place, None)
        regions = regions_of(member)
        if reserved is None:
            self.contents[place] = self._writer.store(chunks, member.size, regions)
        else:
            self.contents[place] = self._writer.fill(reserved, chunks, member.size, regions)

    def settle(self, wanted: Mapping[DataLocation, Node]) -> list[Node]:
        """Let go of what is not *wanted*, and return what of it is still to be stored.

        What was measured has its blocks then.
        """
        for place in sorted(self.contents.keys() - wanted.keys()):
            self._writer.discard(self.contents.pop(place))
        for place in sorted(self._reserved.keys() - wanted.keys()):
            self._writer.discard(self._reserved.pop(place), written=False)
        missing = wanted.keys() - self.contents.keys()
        for place in sorted(missing - self._reserved.keys(), key=self._delivery):
            if place in self.sizes:
                self.reserve(place)
        return [wanted[place] for place in missing]

    def _delivery(self, place: DataLocation) -> tuple[bool, int, int]:
        """Return what sorts places as they are delivered if nothing speaks against it."""
        return place.layer == self._overlay, -place.layer, place.offset


def regions_of(member: Member) -> Sequence[Region] | None:
    """Return where a sparse *member* has data, or None for all others."""
    if member.sparse is None:
        return None
    return [Region(segment.offset, segment.length) for segment in member.sparse]


def by_place(nodes: Iterable[Node]) -> dict[DataLocation, Node]:
    """Return those of *nodes* that have data, by where it is."""
    return {place: node for node in nodes if (place := node.place) is not None}
