"""Directory blocks: packed records, and for more than one block an index by hash (htree)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tarkit.errors import UnsupportedError
from tarkit.ext4.crc32c import crc32c
from tarkit.ext4.dirhash import Seed, hash_names
from tarkit.ext4.format import BLOCK

CHECKSUM_OFFSET = BLOCK - 4
DIRECTORY_TYPE = 2

_RECORD = struct.Struct("<IHBB")
_TAIL = struct.pack("<IHBBI", 0, 12, 0, 0xDE, 0)
_HALF_MD4 = 1
_ROOT_ENTRIES_AT = 32
_NODE_ENTRIES_AT = 8
_DX_TAIL = 8
_CAPACITY = BLOCK - len(_TAIL)  # without checksums too, so that tune2fs can add them


class Name(NamedTuple):
    """One name in a directory: the inode it leads to and the kind of file that is."""

    name: bytes
    inode: int
    kind: int


class DirectoryBlocks(NamedTuple):
    """A directory's blocks in order; the first ``index_blocks`` are a finished index.

    The others still lack their checksum, where the file system has them.
    """

    blocks: list[bytes]
    index_blocks: int


class DirectoryFormat(NamedTuple):
    """What every directory of one file system has in common.

    ``checksum_seed`` is ``None`` where metadata carries no checksums.
    """

    hash_seed: Seed
    checksum_seed: int | None

    @property
    def room(self) -> int:
        """Return how many bytes of a block belong to records."""
        return BLOCK - (len(_TAIL) if self.checksum_seed is not None else 0)

    def index_limit(self, start: int) -> int:
        """Return how many entries an index block has room for after its first *start* bytes."""
        return (BLOCK - start - (_DX_TAIL if self.checksum_seed is not None else 0)) // 8


def index_capacity(start: int) -> int:
    """Return how many of these entries to use, whether the block has a checksum or not.

    One stays free, as in the blocks that the kernel writes: tune2fs fails to give a full one a new
    checksum, and leaves a directory that nobody can read.
    """
    return (BLOCK - start - _DX_TAIL) // 8 - 1


def build_directory(
    names: Sequence[Name], own: int, parent: int, form: DirectoryFormat, at_least: int = 1
) -> DirectoryBlocks:
    """The blocks of directory *own*, linear if one is enough.

    Empty blocks follow until there are *at_least*. Raises :class:`UnsupportedError` for more
    names than an index of two levels can lead to (some 3.8 million of the longest).
    """
    records = [_pack_record(each) for each in names]
    texts = [each.name for each in names]
    if fits_block(texts):
        dots = [_pack_record(Name(b".", own, DIRECTORY_TYPE))]
        dots.append(_pack_record(Name(b"..", parent, DIRECTORY_TYPE)))
        blocks = [_join(dots + records, form)]
        blocks += [_join([_RECORD.pack(0, 8, 0, 0)], form)] * (at_least - 1)
        return DirectoryBlocks(blocks, 0)
    return _Index(form, own, parent).build(texts, records)


def fits_block(names: Iterable[bytes]) -> bool:
    """Return whether a directory of *names* takes one block only, and needs no index."""
    return sum(map(_record_size, (b".", b"..", *names))) <= _CAPACITY


def _record_size(name: bytes) -> int:
    return _RECORD.size + len(name) + -len(name) % 4


def _pack_record(entry: Name) -> bytes:
    name, size = entry.name, _record_size(entry.name)
    head = _RECORD.pack(entry.inode, size, len(name), entry.kind)
    return head + name.ljust(size - _RECORD.size, b"\0")


def _join(records: Sequence[bytes], form: DirectoryFormat) -> bytes:
    """One block of *records*, the last of which takes all the room that is left."""
    left = form.room - sum(map(len, records))
    last = records[-1]
    stretched = last[:4] + (len(last) + left).to_bytes(2, "little") + last[6:] + bytes(left)
    return b"".join(records[:-1]) + stretched + (_TAIL if form.room < BLOCK else b"")


class _Pointer(NamedTuple):
    """An entry of the index: from hash *first* on, look in block *block*."""

    first: int
    block: int


class _Index(NamedTuple):
    form: DirectoryFormat
    own: int
    parent: int

    def build(self, names: Sequence[bytes], records: Sequence[bytes]) -> DirectoryBlocks:
        hashes = hash_names(names, self.form.hash_seed)
        order = sorted(range(len(records)), key=hashes.__getitem__)
        leaves, firsts = self._leaves([records[i] for i in order], [hashes[i] >> 32 for i in order])
        root_room = index_capacity(_ROOT_ENTRIES_AT)
        if len(leaves) <= root_room:
            pointers = [_Pointer(first, 1 + i) for i, first in enumerate(firsts)]
            return DirectoryBlocks([self._root(pointers, levels=0), *leaves], 1)
        node_room = index_capacity(_NODE_ENTRIES_AT)
        starts = range(0, len(leaves), node_room)
        if len(starts) > root_room:
            raise UnsupportedError(f"a directory of {len(names)} names does not fit its index")
        pointers = [_Pointer(first, 1 + len(starts) + i) for i, first in enumerate(firsts)]
        nodes = [self._node(pointers[start : start + node_room]) for start in starts]
        above = [_Pointer(firsts[start], 1 + i) for i, start in enumerate(starts)]
        return DirectoryBlocks([self._root(above, levels=1), *nodes, *leaves], 1 + len(nodes))

    def _leaves(
        self, records: Sequence[bytes], hashes: Sequence[int]
    ) -> tuple[list[bytes], list[int]]:
        """Blocks of *records*, and for each the hash the index has for it.

        Its lowest bit says that the block before holds names of the same hash too.
        """
        leaves, firsts = [], [0]
        start = size = 0
        for i, record in enumerate(records):
            if size + len(record) > _CAPACITY:
                leaves.append(_join(records[start:i], self.form))
                firsts.append(hashes[i] | (hashes[i] == hashes[i - 1]))
                start, size = i, 0
            size += len(record)
        leaves.append(_join(records[start:], self.form))
        return leaves, firsts

    def _root(self, pointers: Sequence[_Pointer], levels: int) -> bytes:
        dot = _pack_record(Name(b".", self.own, DIRECTORY_TYPE))
        dot_dot = _RECORD.pack(self.parent, BLOCK - len(dot), 2, DIRECTORY_TYPE) + b"..\0\0"
        info = struct.pack("<IBBBB", 0, _HALF_MD4, 8, levels, 0)
        return self._finished(dot + dot_dot + info, pointers)

    def _node(self, pointers: Sequence[_Pointer]) -> bytes:
        return self._finished(_RECORD.pack(0, BLOCK, 0, 0), pointers)

    def _finished(self, head: bytes, pointers: Sequence[_Pointer]) -> bytes:
        limit = self.form.index_limit(len(head))
        entries = struct.pack("<HHI", limit, len(pointers), pointers[0].block)
        entries += b"".join([struct.pack("<II", each.first, each.block) for each in pointers[1:]])
        block = head + entries
        if self.form.checksum_seed is None:
            return block.ljust(BLOCK, b"\0")
        message = struct.pack("<II", self.own, 0) + block + bytes(_DX_TAIL)
        checksum = crc32c(message, self.form.checksum_seed)
        filled = block.ljust(len(head) + 8 * limit, b"\0")
        return (filled + struct.pack("<II", 0, checksum)).ljust(BLOCK, b"\0")
