"""The members of an archive as columns, for archives of millions of files.

A column has one number for each member. Most members share their other fields with many others, so
those are stored once, as traits. Members with anything that no column can hold are kept as objects.
Measured for 500,000 files: 60 bytes per member; as objects, 430 (docs/adr/0018).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping

from tarkit.tar import BLOCK_SIZE
from tarkit.tar.member import NO_XATTRS, Member, MemberType, Traits
from tarkit.tar.sibling_names import Run, SiblingNames

_LARGEST = (1 << 63) - 1

Facts = tuple[Traits, int, int, Mapping[bytes, bytes]]
"""Traits, size, time in nanoseconds and extended attributes of a member."""


class Listing:
    """A growing sequence of members, created on demand.

    Columns: the number of the ``traits``, size, modification time in nanoseconds and the block of
    the data. ``special`` holds the positions of all members that are not plain files.
    """

    def __init__(self) -> None:
        self.traits: list[Traits] = []
        self.kinds = array("I")
        self.sizes = array("q")
        self.times = array("q")
        self.blocks = array("q")
        self.special = array("I")
        self.rare: dict[int, Member] = {}
        self.names = SiblingNames()
        self._numbers: dict[Traits, int] = {}
        # of the last member, and nearly always of the next
        self._traits: Traits | None = None
        self._number = 0
        self._is_special = False

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def ends_plain(self) -> bool:
        """True if the last member has a single header block."""
        return self._traits is not None and self._traits.headers == BLOCK_SIZE

    def append(self, member: Member) -> None:
        """Add *member* after all others, and after their data."""
        position = len(self)
        if not self._fits(member):
            self.rare[position] = member
        traits = Traits.of(member)
        if traits == self._traits:  # equal, but not the same object: hashing takes longer
            traits = self._traits
        name = b"" if b"\0" in member.name else member.name
        time = max(min(member.mtime_ns, _LARGEST), -_LARGEST)
        self.append_plain(traits, name, member.size, time, member.data_offset)
        if name.endswith(b"/") and not self._is_special:
            self.special.append(position)

    def append_plain(
        self, traits: Traits, name: bytes, size: int, mtime_ns: int, data_offset: int
    ) -> None:
        """Add a member that has nothing but these fields."""
        if traits is not self._traits:
            self._change_traits(traits)
        if self._is_special:
            self.special.append(len(self.kinds))
        self.names.append(name)
        self.kinds.append(self._number)
        self.sizes.append(size)
        self.times.append(mtime_ns)
        self.blocks.append(data_offset // BLOCK_SIZE)

    def seal(self) -> None:
        """Free the memory that only appending needs."""
        self.names.finish()

    def __getitem__(self, position: int) -> Member:
        rare = self.rare.get(position)
        return self._member(position, self.names[position]) if rare is None else rare

    def __iter__(self) -> Iterator[Member]:
        for position, name in enumerate(self.names):
            yield self.rare.get(position) or self._member(position, name)

    def name(self, position: int) -> bytes:
        """Return the name of the member at *position*."""
        rare = self.rare.get(position) if self.rare else None
        return self.names[position] if rare is None else rare.name

    def nameless(self, position: int) -> Member:
        """Return the member at *position* without its name, which takes time to look up."""
        return self.rare.get(position) or self._member(position, b"")

    def type(self, position: int) -> MemberType:
        """Return the type of the member at *position*."""
        return self.traits[self.kinds[position]].type

    def facts(self, position: int) -> Facts:
        """Return traits, size, time and extended attributes of the member at *position*."""
        traits = self.traits[self.kinds[position]]
        if self.rare and (rare := self.rare.get(position)):
            return traits, rare.size, rare.mtime_ns, rare.xattrs
        return traits, self.sizes[position], self.times[position], NO_XATTRS

    def is_rare(self, position: int) -> bool:
        """Return True if the columns cannot hold the member at *position*."""
        return position in self.rare

    def stored(self, position: int) -> int:
        """Return the size of the data of the member at *position*, without holes."""
        rare = self.rare.get(position) if self.rare else None
        return self.sizes[position] if rare is None else rare.stored

    def data_offset(self, position: int) -> int:
        """Return the offset of the data of the member at *position*."""
        rare = self.rare.get(position) if self.rare else None
        return self.blocks[position] * BLOCK_SIZE if rare is None else rare.data_offset

    def find_data(self, offset: int) -> int:
        """Return the position of the member whose data is at *offset*."""
        return bisect_left(self.blocks, offset // BLOCK_SIZE)

    def runs(self, first: int = 0) -> Iterator[Run]:
        """Yield the names in runs of siblings, beginning at *first*; a name with a NUL is empty."""
        return self.names.runs(first)

    def _member(self, position: int, name: bytes) -> Member:
        traits = self.traits[self.kinds[position]]
        size, data_offset = self.sizes[position], self.blocks[position] * BLOCK_SIZE
        return Member(
            name, traits.type, traits.mode, traits.uid, traits.gid, size, self.times[position],
            traits.linkname, traits.uname, traits.gname, traits.devmajor, traits.devminor,
            NO_XATTRS, None, data_offset - traits.headers, data_offset,
            size if traits.type.has_data else 0,
        )  # fmt: skip

    def _change_traits(self, traits: Traits) -> None:
        number = self._numbers.setdefault(traits, len(self.traits))
        if number == len(self.traits):
            self.traits.append(traits)
        self._traits, self._number = traits, number
        self._is_special = traits.type is not MemberType.FILE

    @staticmethod
    def _fits(member: Member) -> bool:
        """Return True if the columns can hold *member*."""
        stored = member.size if member.type.has_data else 0
        return (
            not member.xattrs
            and member.sparse is None
            and member.stored == stored
            and not member.data_offset % BLOCK_SIZE
            and -_LARGEST <= member.mtime_ns <= _LARGEST
            and b"\0" not in member.name
        )
