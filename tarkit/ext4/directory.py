"""Directory blocks: linear records, indexed by hash (htree) if one block is not enough.

See "ext4 Data Structures and Algorithms", section 4.3, Directory Entries.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tarkit.errors import UnsupportedError
from tarkit.ext4.crc32c import crc32c
from tarkit.ext4.dirhash import Seed, hash_names
from tarkit.ext4.format import BLOCK

CHECKSUM_OFFSET = BLOCK - 4  # det_checksum
DIRECTORY_TYPE = 2  # file_type

# struct ext4_dir_entry_2 up to the name: inode, rec_len, name_len, file_type
_RECORD = struct.Struct("<IHBB")
# struct ext4_dir_entry_tail: det_reserved_zero1, det_rec_len, det_reserved_zero2,
# det_reserved_ft, det_checksum
_TAIL = struct.pack("<IHBBI", 0, 12, 0, 0xDE, 0)
# struct dx_root_info: reserved_zero, hash_version, info_length, indirect_levels, unused_flags
_ROOT_INFO = struct.Struct("<IBBBB")
_COUNT_LIMIT = struct.Struct("<HHI")  # limit, count, and the block of the first entry
_ENTRY = struct.Struct("<II")  # struct dx_entry: hash, block
_DX_TAIL = struct.Struct("<II")  # struct dx_tail: dt_reserved, dt_checksum
_HALF_MD4 = 1  # hash_version
_ROOT_ENTRIES_AT = 0x20  # limit in struct dx_root, after two records and the root info
_NODE_ENTRIES_AT = 0x08  # limit in struct dx_node, after an empty record
_CAPACITY = BLOCK - len(_TAIL)  # also without checksums, so that tune2fs can add them


class Name(NamedTuple):
    """A name in a directory, with the inode and its ``file_type``."""

    name: bytes
    inode: int
    kind: int


class DirectoryBlocks(NamedTuple):
    """The blocks of a directory in order; the first ``index_blocks`` are its index.

    If the file system has checksums, only the index has them so far.
    """

    blocks: list[bytes]
    index_blocks: int


class DirectoryFormat(NamedTuple):
    """The parameters shared by all directories of a file system.

    ``checksum_seed`` is None if metadata has no checksums.
    """

    hash_seed: Seed
    checksum_seed: int | None

    @property
    def room(self) -> int:
        """The number of bytes of a block that records may cover."""
        return BLOCK - (len(_TAIL) if self.checksum_seed is not None else 0)

    def index_limit(self, start: int) -> int:
        """Return the ``limit`` of an index block whose entries start at byte *start*."""
        tail = _DX_TAIL.size if self.checksum_seed is not None else 0
        return (BLOCK - start - tail) // _ENTRY.size


def index_capacity(start: int) -> int:
    """Return the number of entries to use in an index block whose entries start at byte *start*.

    One entry stays free, as in blocks written by the kernel: tune2fs fails to update the checksum
    of a full block and leaves the directory unreadable.
    """
    return (BLOCK - start - _DX_TAIL.size) // _ENTRY.size - 1


def build_directory(
    names: Sequence[Name], own: int, parent: int, form: DirectoryFormat, at_least: int = 1
) -> DirectoryBlocks:
    """Build the blocks of the directory with inode *own*, linear if one block is enough.

    A linear directory is padded with empty blocks to *at_least* blocks. Raises
    :class:`UnsupportedError` if the names do not fit an index of two levels (about 3.8 million
    names of the greatest length).
    """
    records = [_pack_record(each) for each in names]
    texts = [each.name for each in names]
    if fits_block(texts):
        dots = [_pack_record(Name(b".", own, DIRECTORY_TYPE))]
        dots.append(_pack_record(Name(b"..", parent, DIRECTORY_TYPE)))
        blocks = [_join(dots + records, form)]
        empty = _RECORD.pack(0, _RECORD.size, 0, 0)  # inode 0: an unused record
        blocks += [_join([empty], form)] * (at_least - 1)
        return DirectoryBlocks(blocks, 0)
    return _Index(form, own, parent).build(texts, records)


def fits_block(names: Iterable[bytes]) -> bool:
    """Return True if a directory of *names* fits one block and needs no index."""
    return sum(map(_record_size, (b".", b"..", *names))) <= _CAPACITY


def _record_size(name: bytes) -> int:
    return _RECORD.size + len(name) + -len(name) % 4


def _pack_record(entry: Name) -> bytes:
    name, size = entry.name, _record_size(entry.name)
    head = _RECORD.pack(entry.inode, size, len(name), entry.kind)
    return head + name.ljust(size - _RECORD.size, b"\0")


def _join(records: Sequence[bytes], form: DirectoryFormat) -> bytes:
    """Join *records* into a block; the last record is stretched to fill it, as ext4 requires."""
    left = form.room - sum(map(len, records))
    last = records[-1]
    # rec_len is at offset 4.
    stretched = last[:4] + (len(last) + left).to_bytes(2, "little") + last[6:] + bytes(left)
    return b"".join(records[:-1]) + stretched + (_TAIL if form.room < BLOCK else b"")


class _Pointer(NamedTuple):
    """An entry of the index: names with hashes of at least *first* are in block *block*."""

    first: int
    block: int


class _Index(NamedTuple):
    form: DirectoryFormat
    own: int
    parent: int

    def build(self, names: Sequence[bytes], records: Sequence[bytes]) -> DirectoryBlocks:
        hashes = hash_names(names, self.form.hash_seed)
        # An index entry stores the major hash only; the minor hash just sorts names within leaves.
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
        """Return the leaves and their first hashes.

        The lowest bit of a hash is set if the previous leaf ends with a name of the same hash.
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
        # The record of ".." covers the rest of the block, so that linear readers skip the index.
        dot_dot = _RECORD.pack(self.parent, BLOCK - len(dot), 2, DIRECTORY_TYPE) + b"..\0\0"
        info = _ROOT_INFO.pack(0, _HALF_MD4, _ROOT_INFO.size, levels, 0)
        return self._index_block(dot + dot_dot + info, pointers)

    def _node(self, pointers: Sequence[_Pointer]) -> bytes:
        return self._index_block(_RECORD.pack(0, BLOCK, 0, 0), pointers)

    def _index_block(self, head: bytes, pointers: Sequence[_Pointer]) -> bytes:
        limit = self.form.index_limit(len(head))
        # The first entry has no hash: limit and count are in its place.
        entries = _COUNT_LIMIT.pack(limit, len(pointers), pointers[0].block)
        entries += b"".join([_ENTRY.pack(each.first, each.block) for each in pointers[1:]])
        block = head + entries
        if self.form.checksum_seed is None:
            return block.ljust(BLOCK, b"\0")
        # The checksum covers inode number, generation (0), the used entries and an empty tail.
        message = struct.pack("<II", self.own, 0) + block + bytes(_DX_TAIL.size)
        checksum = crc32c(message, self.form.checksum_seed)
        filled = block.ljust(len(head) + _ENTRY.size * limit, b"\0")
        return (filled + _DX_TAIL.pack(0, checksum)).ljust(BLOCK, b"\0")
