"""Recognize layers that never refer to the layers below them.

Such layers can be stacked on any others with the same effect. All others can be written again as the
difference that they make; see :func:`tarkit.rootfs.layer_writer.write_layer`.
"""

from __future__ import annotations

from tarkit.rootfs.names import HIDDEN
from tarkit.tar.listing import Listing
from tarkit.tar.member import MemberType

_ODD = frozenset((b"", b".", b".."))


def is_self_contained(listing: Listing) -> bool:
    """Return True if the layer of *listing* means the same on top of any other layers.

    This is the case if each name occurs once, after an entry for each of its parent directories;
    each hard link comes after the file that it refers to; and there are neither opaque markers nor
    metadata of AUFS. Then no path leads through a symbolic link of a layer below.
    """
    entries: dict[bytes, set[bytes]] = {}
    directories, files = {b""}, set()
    for position, raw in enumerate(listing.names):
        name = _normal(listing.rare[position].name if position in listing.rare else raw)
        kind = listing.type(position)
        if name is None or kind is MemberType.OTHER:
            return False
        if not name:  # the root
            continue
        parent, _, base = name.rpartition(b"/")
        siblings = entries.setdefault(parent, set())
        if base in siblings or parent not in directories or base.startswith(HIDDEN):
            return False
        siblings.add(base)
        if kind is MemberType.DIRECTORY:
            directories.add(name)
        elif kind is not MemberType.HARDLINK:
            files.add(name)
        elif _normal(listing.traits[listing.kinds[position]].linkname) not in files:
            return False
    return True


def _normal(name: bytes) -> bytes | None:
    """Return *name* without ``./`` and slash around it, or None if it is unusual in other ways."""
    name = name.removeprefix(b"./").removesuffix(b"/")
    if name in (b"", b"."):
        return b""
    return name if _ODD.isdisjoint(name.split(b"/")) else None
