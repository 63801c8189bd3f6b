"""Complete the file system around contents already stored."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from operator import eq
from uuid import UUID

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.ext4.directory import DirectoryFormat
from tarkit.ext4.format import (
    BLOCK,
    BLOCKS_PER_GROUP,
    FIRST_INODE,
    JOURNAL_INODE,
    RESIZE_INODE,
    ROOT_INODE,
    backup_groups,
    blocks_of,
)
from tarkit.ext4.geometry import Geometry, can_grow, prefix_for
from tarkit.ext4.groups import Usage, write_groups
from tarkit.ext4.image import ImageFile
from tarkit.ext4.inode import EMPTY_INODE, pack_inode, pack_table
from tarkit.ext4.inventory import Inventory
from tarkit.ext4.journal import journal_inode, pack_journal_superblock
from tarkit.ext4.layout import BlockLayout, plan_layout
from tarkit.ext4.node import Ext4Tree
from tarkit.ext4.options import Ext4Options, Percent
from tarkit.ext4.placement import Placer
from tarkit.ext4.resize import resize_blocks, resize_inode
from tarkit.ext4.seal import BlockKind, BlockWriter
from tarkit.ext4.space import Space
from tarkit.ext4.superblock import OFFSET, Superblock, checksum_seed
from tarkit.values import dataclass

_LEAST_ESTIMATE = 8192


@dataclass(frozen=True, slots=True)
class Ext4Result:
    """The properties of a finished image.

    ``size`` is the size of the file in bytes; ``blocks`` have 4096 bytes. ``clamped_times`` counts
    inodes whose time was replaced by the nearest one that ext4 can safely store, because it was
    before 1901, after 2446, or between 2310 and 2378.
    """

    size: int
    blocks: int
    free_blocks: int
    inodes: int
    free_inodes: int
    uuid: UUID
    clamped_times: int

    @property
    def used_bytes(self) -> int:
        """The bytes of the file system used by files and metadata."""
        return (self.blocks - self.free_blocks) * BLOCK


class Finisher:
    """Writes the file system around the contents already stored in *image* and *space*."""

    def __init__(
        self, image: ImageFile, space: Space, tree: Ext4Tree, options: Ext4Options
    ) -> None:
        self._image = image
        self._options = options
        self._time = options.time * 10**9
        self._inventory = Inventory(tree, self._time)
        self._seed = checksum_seed(options)
        self._blocks = BlockWriter(image, self._seed)
        self._space = space

    def check_contents(self) -> None:
        """Raise ``ValueError`` unless all blocks in use belong to exactly one node."""
        held, stored = self._inventory.held, self._space.taken
        if held != stored:
            raise ValueError(f"the tree has {held} blocks of contents, but {stored} are stored")
        extents = sorted(self._inventory.extents)
        if any(map(eq, extents, islice(extents, 1, None))):
            raise ValueError("two nodes have the same contents")

    def finish(self, on_settled: Callable[[int], None] | None) -> Ext4Result:
        """Place and write everything, inodes last because they take the most time.

        *on_settled* is called with the number of bytes at the front that no longer change.
        """
        self._make_room()
        placer = self._place()
        layout = plan_layout(self._space, self._inventory.last_inode, self._options)
        self._write_own_files(layout)
        usage = self._usage(layout.geometry)
        self._write_descriptors(layout, usage)
        size = self._options.size
        size = size if isinstance(size, int) else layout.geometry.blocks * BLOCK
        self._image.set_size(size)
        if not self._options.sparse:
            # Otherwise blocks that were never written stay holes.
            self._image.reserve(size)
        if on_settled is not None:
            on_settled(min(placer.settled, *layout.inode_tables) * BLOCK)
        self._write_inodes(layout, placer)
        return Ext4Result(
            size=size,
            blocks=layout.geometry.blocks,
            free_blocks=layout.free_blocks,
            inodes=layout.geometry.inodes,
            free_inodes=layout.geometry.inodes - usage.inodes,
            uuid=self._options.volume_uuid,
            clamped_times=self._inventory.clamped,
        )

    def _make_room(self) -> None:
        """Free the blocks reserved for more group descriptors than the image can need."""
        if not isinstance(self._options.size, int):
            grows = can_grow(self._options, wide=False)
            enough = prefix_for(self._estimate(), grows=grows, wide=False)
            self._space.narrow(min(enough, self._space.prefix))

    def _estimate(self) -> int:
        """Return an upper bound of the blocks of the finished image."""
        options = self._options
        # No inode needs more than two blocks besides its data.
        inodes = max(len(self._inventory), options.inodes or 0)
        used = 2 * (self._space.end + 2 * inodes + _LEAST_ESTIMATE) + options.align // BLOCK
        if isinstance(options.free, Percent):
            return used * 100 // (100 - options.free.value)
        return used + 2 * blocks_of(options.free)

    def _place(self) -> Placer:
        inventory = self._inventory
        form = DirectoryFormat(self._options.hash_seed, self._seed)
        placer = Placer(inventory, self._space, self._blocks, form)
        for position in range(len(inventory)):
            try:
                placer.take(position)
            except (UnsupportedError, MalformedError) as error:
                error.where = inventory.path(position)
                raise
        return placer

    def _write_own_files(self, layout: BlockLayout) -> None:
        """Write the blocks of the journal and the resize inode."""
        for block in layout.journal_map.blocks:
            self._blocks.put(BlockKind.EXTENTS, block.physical, block.data, JOURNAL_INODE)
        if layout.journal:
            data = pack_journal_superblock(
                layout.geometry.journal_blocks, self._options.volume_uuid
            )
            self._blocks.put(BlockKind.PLAIN, layout.journal[0].physical, data)
        if layout.resize_block:
            for block in resize_blocks(layout.geometry, layout.resize_block):
                self._blocks.put(BlockKind.PLAIN, block.physical, block.data)
        self._blocks.flush()

    def _usage(self, geometry: Geometry) -> Usage:
        directories = array("I", bytes(4 * geometry.groups))
        for position in range(len(self._inventory)):
            if self._inventory.is_directory(position):
                number = self._inventory.inode(position)
                directories[(number - 1) // geometry.inodes_per_group] += 1
        return Usage(self._inventory.last_inode, directories)

    def _write_inodes(self, layout: BlockLayout, placer: Placer) -> None:
        """Write the inode tables and the blocks postponed by :meth:`Placer.take`."""
        each = layout.geometry.inodes_per_group
        packed = self._packed_inodes(layout, placer)
        for group, table in enumerate(layout.inode_tables):
            part = list(islice(packed, each))
            if not part:
                break
            self._image.write(table * BLOCK, pack_table(part, group * each + 1, self._seed))
        self._blocks.flush()
        self._image.flush()

    def _packed_inodes(self, layout: BlockLayout, placer: Placer) -> Iterator[bytes]:
        """Yield every inode in use, in order from number 1, without checksums."""
        inventory = self._inventory
        own = {ROOT_INODE: self._pack_node(0, placer)}
        if layout.journal:
            own[JOURNAL_INODE] = journal_inode(layout.journal, layout.journal_map, self._time)
        if layout.resize_block:
            own[RESIZE_INODE] = resize_inode(layout.geometry, layout.resize_block, self._time)
        for number in range(1, FIRST_INODE):
            yield own.get(number, EMPTY_INODE)
        for position in range(1, len(inventory)):
            yield self._pack_node(position, placer)

    def _pack_node(self, position: int, placer: Placer) -> bytes:
        inventory = self._inventory
        links = inventory.links(position)
        return pack_inode(inventory.node(position), placer.place(position), links)

    def _write_descriptors(self, layout: BlockLayout, usage: Usage) -> None:
        """Write bitmaps, superblocks and group descriptors."""
        geometry = layout.geometry
        table = write_groups(self._image, layout, usage, self._seed)
        superblock = Superblock(
            options=self._options,
            geometry=geometry,
            free_blocks=layout.free_blocks,
            free_inodes=geometry.inodes - usage.inodes,
            journal_map=layout.journal_map.root,
        )
        for group in backup_groups(geometry.groups):
            block = superblock.pack(group)
            if not group:  # the first superblock follows the boot sectors
                block = bytes(OFFSET) + block
            self._image.write(group * BLOCKS_PER_GROUP * BLOCK, block.ljust(BLOCK, b"\0") + table)
