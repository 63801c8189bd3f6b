"""The entries of the tar of a tree, in order, as columns."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from tarkit.rootfs.tree import Tree
from tarkit.tar import BLOCK_SIZE
from tarkit.tar.encode import encode, encode_plain, fits_plainly, stored_size
from tarkit.tar.member import NO_XATTRS, Member, MemberType, Traits
from tarkit.tar.sparse import block_aligned


class TarEntry(NamedTuple):
    """A *path* in the image and the metadata of its inode.

    *link* is the first path of the inode, or empty if *path* is the first.
    """

    path: bytes
    meta: Member
    link: bytes

    @property
    def has_data(self) -> bool:
        """True if data follows the headers."""
        return self.meta.stored > 0 and not self.link

    @property
    def member(self) -> Member:
        """The tar member for this entry."""
        path, meta, link = self
        if link:
            return Member(
                path, MemberType.HARDLINK, meta.mode, meta.uid, meta.gid, 0, meta.mtime_ns,
                link, b"", b"", 0, 0, NO_XATTRS, None, 0, 0, 0,
            )  # fmt: skip
        if meta.type is MemberType.DIRECTORY:
            path = path + b"/" if path else b"./"
        return Member(
            path, meta.type, 0o777 if meta.type is MemberType.SYMLINK else meta.mode,
            meta.uid, meta.gid, meta.size, meta.mtime_ns, meta.linkname, b"", b"",
            meta.devmajor, meta.devminor, meta.xattrs,
            meta.sparse and tuple(block_aligned(meta.sparse)[0]), 0, 0, 0,
        )  # fmt: skip


class TarOrder:
    """The entries of the tar of *tree*, by position.

    ``rows`` are their inodes. ``firsts`` maps each further name of an inode to the position of its
    first name, which holds the data.
    """

    def __init__(self, tree: Tree) -> None:
        self.table = tree.table
        self.rows = array("q")
        self.firsts: dict[int, int] = {}
        self._names: list[bytes] = []  # the objects that are also keys of the tree
        self._parents = array("I")
        self._prefixes: list[bytes] = []
        seen: dict[int, int] = {}
        for prefix, name, value in tree.steps():
            if not self._prefixes or prefix is not self._prefixes[-1]:
                self._prefixes.append(prefix)
            if isinstance(value, int) and value in tree.links:
                position = len(self.rows)
                first = seen.setdefault(value, position)
                if first != position:
                    self.firsts[position] = first
            self.rows.append(value if isinstance(value, int) else value.row)
            self._names.append(name)
            self._parents.append(len(self._prefixes) - 1)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[TarEntry]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, position: int) -> TarEntry:
        first = self.firsts.get(position)
        link = b"" if first is None else self.path(first)
        return TarEntry(self.path(position), self.table.nameless(self.rows[position]), link)

    def header(self, position: int) -> bytes:
        """Return the headers of the entry at *position*."""
        plain = self._plain(position)
        return encode(self[position].member) if plain is None else encode_plain(*plain)

    def sizes(self, position: int) -> tuple[int, int]:
        """Return the sizes of headers and data of the entry at *position*."""
        plain = self._plain(position)
        if plain is not None:
            traits, _, size, _ = plain
            return BLOCK_SIZE, size if traits.type is MemberType.FILE else 0
        entry = self[position]
        member = entry.member
        return len(encode(member)), stored_size(member) if entry.has_data else 0

    def _plain(self, position: int) -> tuple[Traits, bytes, int, int] | None:
        """Return traits, name, size and time, or None if the entry has other metadata.

        Nearly every entry is a plain file or directory, for which no object is created.
        """
        row = self.rows[position]
        first, _, listing = self.table.part(row)
        if position in self.firsts or listing.is_rare(row - first):
            return None
        traits, size, mtime_ns, _ = listing.facts(row - first)
        name = self.path(position)
        if traits.type is MemberType.DIRECTORY:
            name = name + b"/" if name else b"./"
        fits = fits_plainly(traits, name, size, mtime_ns)
        return (traits, name, size, mtime_ns) if fits else None

    def path(self, position: int) -> bytes:
        """Return the path of the entry at *position*."""
        return self._prefixes[self._parents[position]] + self._names[position]

    def has_data(self, position: int) -> bool:
        """Return True if data follows the headers of the entry at *position*."""
        return position not in self.firsts and self.table.has_data(self.rows[position])

    def file_size(self) -> int:
        """Return the total size of all files in bytes; hard links do not count."""
        size = 0
        for position, row in enumerate(self.rows):
            _, (traits, length, _, _) = self.table.facts(row)
            if traits.type is MemberType.FILE and position not in self.firsts:
                size += length
        return size
