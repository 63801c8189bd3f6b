"""The paths of a tree and their metadata, straight from the columns.

Commands list hundreds of thousands of paths: a view of each inode, and an object for its metadata,
cost twice as much as the walk (1.6 of 2.1 µs per path).
"""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.rootfs.tree import Tree
from tarkit.tar.listing import Facts

Row = tuple[str, int, int, Facts]
"""An absolute path, its number of names, the number of its layer, and its metadata."""


def rows(tree: Tree, path: str | bytes) -> Iterator[Row]:
    """Yield all paths at and below *path*, parents first and siblings in byte order.

    Follows *path* if it is a link, but not links below it. Bytes that are not UTF-8 are decoded with
    ``surrogateescape``. Raises the errors of :meth:`~tarkit.rootfs.tree.Tree.find`.
    """
    parts = tree.parts(path)
    start = text(b"".join(b"/" + part for part in parts))
    links, shared, parent = tree.links, None, ""
    first = end = 0  # the rows of the part that contains the last inode, and nearly always the next
    for prefix, name, value in tree.steps(tree.find(parts).value):
        row = value if isinstance(value, int) else value.row
        if not first <= row < end:
            first, layer, listing = tree.table.part(row)
            end = first + len(listing)
        if prefix is not shared:  # siblings share the object
            shared, parent = prefix, f"{start}/{text(prefix)}"
        names = links.get(row, 1) if links and isinstance(value, int) else 1
        path = parent + text(name) if name else start or "/"
        yield path, names, layer, listing.facts(row - first)


def text(value: bytes) -> str:
    """Return *value* decoded as UTF-8; other bytes become surrogates."""
    return value.decode("utf-8", "surrogateescape")
