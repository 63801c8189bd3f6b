"""A view of one inode of a tree."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.rootfs.table import DataLocation, Table
from tarkit.rootfs.trail import Directory, Value
from tarkit.tar.listing import Facts
from tarkit.tar.member import Member, MemberType


class Node:
    """One inode. Names with equal nodes are hard links; ``links`` counts the names."""

    __slots__ = ("_links", "_table", "value")

    def __init__(self, table: Table, links: Mapping[int, int], value: Value) -> None:
        self._table = table
        self._links = links
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)

    @property
    def directory(self) -> Directory | None:
        """The directory, or None for all other types."""
        return None if isinstance(self.value, int) else self.value

    @property
    def row(self) -> int:
        """The row of the metadata in the table."""
        return self.value if isinstance(self.value, int) else self.value.row

    @property
    def children(self) -> dict[bytes, Node] | None:
        """The inodes of a directory by name, or None for all other types."""
        if isinstance(self.value, int):
            return None
        entries = self.value.entries.items()
        return {name: Node(self._table, self._links, value) for name, value in entries}

    @property
    def links(self) -> int:
        """The number of names."""
        return self._links.get(self.value, 1) if isinstance(self.value, int) else 1

    @property
    def type(self) -> MemberType:
        """The type of the inode; never a hard link."""
        return self._table.type(self.row)

    @property
    def member(self) -> Member:
        """The metadata; its name has no meaning."""
        return self._table.nameless(self.row)

    @property
    def facts(self) -> tuple[int, Facts]:
        """The layer that contains the metadata, and the metadata."""
        value = self.value
        return self._table.facts(value if isinstance(value, int) else value.row)

    @property
    def layer(self) -> int:
        """The number of the layer that contains the metadata."""
        return self._table.part(self.row).layer

    @property
    def place(self) -> DataLocation | None:
        """The location of the data, or None if there is none."""
        return self._table.place(self.row)
