"""The entries of a predicted tar, as columns, to compare with those of the merged tree."""

from __future__ import annotations

from array import array

from tarkit.rootfs.names import split
from tarkit.rootfs.output.tar_order import TarOrder
from tarkit.rootfs.streaming_merge import Origin
from tarkit.rootfs.table import Table


class Prediction:
    """Grows by one entry at a time."""

    def __init__(self) -> None:
        self._layers = array("H")
        self._positions = array("I")
        self._implied: dict[int, bytes] = {}
        self._links: dict[int, Origin] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def add(self, origin: Origin, inode: Origin) -> None:
        """Add the entry *origin*; a hard link if its *inode* comes from another entry."""
        if inode != origin:
            self._links[len(self)] = inode
        self._layers.append(origin.layer)
        self._positions.append(origin.position)

    def add_implied(self, path: bytes) -> None:
        """Add the directory *path*, which no layer lists."""
        self._implied[len(self)] = path
        self.add(_NOWHERE, _NOWHERE)

    def matching(self, order: TarOrder) -> int:
        """Return the number of entries up to the first difference from *order*."""
        least = min(len(self), len(order))
        for position in range(least):
            if not self._matches(position, order):
                return position
        return least

    def _matches(self, position: int, order: TarOrder) -> bool:
        path, row, first = order.path(position), order.rows[position], order.firsts.get(position)
        implied = self._implied.get(position)
        if implied is not None:
            return row < 0 and path == implied
        table = order.table
        entry = table.row_at(self._layers[position], self._positions[position])
        inode = self._links.get(position)
        if inode is None:
            return first is None and row == entry and path == _path(table, entry)
        return (
            first is not None
            and row == table.row_at(*inode)
            and path == _path(table, entry)
            and order.path(first) == _path(table, row)
        )


_NOWHERE = Origin(0, 0)


def _path(table: Table, row: int) -> bytes:
    """Return the path that the name of an entry stands for."""
    return b"/".join(split(table.name(row)))
