"""File data on its way into an image: where it lies depends on the layers' headers alone.

Compressed layers are read once, from the top, and data is stored as it goes by, unless what was
read before hides it. Layers that were measured first have the same places reserved, and are then
read in any order. So both ways give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from tarkit.ext4 import Contents, Ext4Writer, Region
from tarkit.rootfs.tree import Node, Place
from tarkit.tar.member import Member


class BlockSink:
    """The data of files, by their place in the layers, in the image that *writer* makes; a sink."""

    def __init__(self, writer: Ext4Writer) -> None:
        self._writer = writer
        self._filled: set[Place] = set()
        self.contents: dict[Place, Contents] = {}

    def reserve(self, place: Place, member: Member) -> None:
        """Give the data of *member*, which is at *place*, its blocks."""
        self.contents[place] = self._writer.reserve(member.size, regions_of(member))

    def store(self, place: Place, member: Member, chunks: Iterator[memoryview]) -> None:
        """See :class:`tarkit.rootfs.passes.Sink`."""
        if place not in self.contents:
            self.reserve(place, member)
        self._writer.fill(self.contents[place], chunks, regions_of(member))
        self._filled.add(place)

    def settle(self, wanted: Mapping[Place, Node]) -> list[Node]:
        """Let go of what is not *wanted* and reserve what is not there; what is still to be stored."""
        for place in sorted(self.contents.keys() - wanted.keys()):
            self._writer.discard(self.contents.pop(place), written=place in self._filled)
        for place in sorted(wanted.keys() - self.contents.keys(), key=_top_first):
            self.reserve(place, wanted[place].member)
        return [node for place, node in wanted.items() if place not in self._filled]


def regions_of(member: Member) -> Sequence[Region] | None:
    """Where a sparse *member* has data; ``None`` for all others."""
    if member.sparse is None:
        return None
    return [Region(segment.offset, segment.length) for segment in member.sparse]


def by_place(nodes: Iterable[Node]) -> dict[Place, Node]:
    """Those of *nodes* that have data, by where it is."""
    return {place: node for node in nodes if (place := node.place) is not None}


def _top_first(place: Place) -> tuple[int, int]:
    return -place.layer, place.offset
