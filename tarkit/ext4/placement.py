"""Allocate and write blocks other than file data: directories, link targets, extents, xattrs."""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence

from tarkit.ext4.directory import DirectoryFormat, build_directory, fits_block
from tarkit.ext4.extents import extents_of, fits_inode, map_extents
from tarkit.ext4.format import BLOCK, FIRST_INODE
from tarkit.ext4.inode import EXTENTS_FLAG, INDEX_FLAG, Placement
from tarkit.ext4.inventory import Inventory
from tarkit.ext4.node import Ext4Node, Extent
from tarkit.ext4.seal import BlockKind, BlockWriter
from tarkit.ext4.space import Run, Space
from tarkit.ext4.xattr import pack_xattrs

_FAST_LINK = 60  # shorter link targets are stored in i_block
_LOST_AND_FOUND_BLOCKS = 4  # as in mke2fs, so that e2fsck can add names without new blocks


class Placer:
    """Allocates and writes the blocks of inodes.

    ``settled`` is the first block that :meth:`take` may leave to :meth:`place` to write.
    """

    def __init__(
        self, inventory: Inventory, space: Space, writer: BlockWriter, form: DirectoryFormat
    ) -> None:
        self._inventory = inventory
        self._space = space
        self._writer = writer
        self._form = form
        self._taken = 0
        self._kept: dict[int, Placement] = {}
        self._directories: dict[int, int] = {}  # postponed, with their only block
        self.settled = space.end

    def take(self, position: int) -> None:
        """Allocate the blocks of inode *position*, if any, and write them.

        A directory with a single block, like most, is written by :meth:`place` unless it fills a
        hole.
        """
        if self._inventory.is_plain(position):
            return
        node = self._inventory.node(position)
        before = self._taken
        if node.contents is not None:
            now = not fits_inode(node.contents.extents)
        elif node.is_directory:
            now = not self._postpone(position, node)
        else:
            now = len(node.target) >= _FAST_LINK
        if now or node.xattrs:
            placement = self._place(position)
            # Placements without blocks are cheaper to compute again than to keep.
            if self._taken != before:
                self._kept[position] = placement

    def _postpone(self, position: int, node: Ext4Node) -> bool:
        """Allocate the block of a directory with only one; return True if to write it later."""
        is_small = fits_block(self._inventory.child_names(position))
        if not is_small or node.xattrs or self._inventory.inode(position) == FIRST_INODE:
            return False
        block = self._directories[position] = self._one_block()
        return block >= self.settled  # callers may already read the blocks before it

    def place(self, position: int) -> Placement:
        """Return the placement of inode *position*; call it after :meth:`take` for all inodes."""
        return self._kept.get(position) or self._place(position)

    def _place(self, position: int) -> Placement:
        node = self._inventory.node(position)
        number = self._inventory.inode(position)
        kind = stat.S_IFMT(node.mode)
        if kind == stat.S_IFDIR:
            placement = self._directory(position)
        elif kind == stat.S_IFREG:
            contents = node.contents
            extents = contents.extents if contents else ()
            placement = self._mapped(number, contents.size if contents else 0, extents)
        elif kind == stat.S_IFLNK:
            placement = self._link(number, node.target)
        elif kind in (stat.S_IFBLK, stat.S_IFCHR):
            placement = Placement(block=_device(node))
        else:
            placement = Placement()
        if node.xattrs:
            self._add_xattrs(placement, node)
        return placement

    def _mapped(self, inode: int, size: int, extents: Sequence[Extent]) -> Placement:
        tree = map_extents(extents, self._one_block)
        for block in tree.blocks:
            self._writer.put(BlockKind.EXTENTS, block.physical, block.data, inode)
        blocks = sum([extent.count for extent in extents]) + len(tree.blocks)
        return Placement(size, blocks, EXTENTS_FLAG, tree.root)

    def _directory(self, position: int) -> Placement:
        inventory = self._inventory
        number = inventory.inode(position)
        directory = build_directory(
            inventory.names(position),
            number,
            inventory.parent(position),
            self._form,
            _LOST_AND_FOUND_BLOCKS if number == FIRST_INODE else 1,
        )
        block = self._directories.get(position)
        runs = self._allocate(len(directory.blocks)) if block is None else [Run(block, 1)]
        physical = (block for run in runs for block in range(run.start, run.end))
        for i, (place, data) in enumerate(zip(physical, directory.blocks, strict=True)):
            kind = BlockKind.PLAIN if i < directory.index_blocks else BlockKind.LEAF
            self._writer.put(kind, place, data, number)
        placement = self._mapped(number, len(directory.blocks) * BLOCK, extents_of(runs))
        placement.flags |= INDEX_FLAG if directory.index_blocks else 0
        return placement

    def _link(self, inode: int, target: bytes) -> Placement:
        if len(target) < _FAST_LINK:
            return Placement(size=len(target), block=target)
        block = self._one_block()
        self._writer.put(BlockKind.PLAIN, block, target.ljust(BLOCK, b"\0"))
        return self._mapped(inode, len(target), [Extent(0, block, 1)])

    def _add_xattrs(self, placement: Placement, node: Ext4Node) -> None:
        packed = pack_xattrs(node.xattrs)
        placement.xattrs = packed.in_inode
        if packed.block is not None:
            placement.xattr_block = self._one_block()
            placement.blocks += 1
            self._writer.put(BlockKind.XATTRS, placement.xattr_block, packed.block)

    def _one_block(self) -> int:
        return self._allocate(1)[0].start

    def _allocate(self, count: int) -> list[Run]:
        self._taken += count
        return self._space.allocate(count)


def _device(node: Ext4Node) -> bytes:
    """Return the ``i_block`` of a device: the short form if it fits, else the long form.

    The long form is in the second word, with bits 8 to 19 of the minor number above the major.
    """
    if node.major < 256 and node.minor < 256:
        return struct.pack("<I", node.major << 8 | node.minor)
    long_form = node.minor & 0xFF | node.major << 8 | (node.minor & ~0xFF) << 12
    return struct.pack("<II", 0, long_form)
