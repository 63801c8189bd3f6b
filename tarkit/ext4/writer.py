"""The writer of ext4 images: it stores file contents as they arrive, and the tree last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tarkit.ext4.contents import Reserved, store
from tarkit.ext4.extents import extents_of
from tarkit.ext4.finish import Ext4Result, Finisher
from tarkit.ext4.format import BLOCK, FIRST_INODE, MAX_NARROW_BLOCKS, blocks_of
from tarkit.ext4.geometry import MAX_FOUND_BLOCKS, can_grow, prefix_for
from tarkit.ext4.image import ImageFile
from tarkit.ext4.layout import plan_layout
from tarkit.ext4.node import Ext4Node, Ext4Tree, FileExtents, NodeTree, Region
from tarkit.ext4.options import Ext4Options
from tarkit.ext4.space import MAX_BLOCKS, Run, Space, no_space
from tarkit.streams.closeable import Closeable
from tarkit.streams.uncached import Buffer


class Ext4Writer(Closeable):
    """Writes one ext4 image: call :meth:`store` any number of times, then :meth:`finish` once.

    A context manager; not thread-safe. The same calls with the same options write the same bytes,
    however contents are split into chunks. The file is not a valid file system until :meth:`finish`
    returns. After an error it never becomes one, and the caller should remove it.

    All methods raise :class:`NoSpaceError` if the image or the disk is full, and
    :class:`TransportError` if writing fails. Because a thread writes in the background, a later
    call may raise the error, :meth:`finish` at the latest.
    """

    def __init__(self, image: ImageFile, options: Ext4Options) -> None:
        self._image = image
        self._options = options
        self._space = _first_space(options)
        self._unfinished = 0  # files being stored, or whose storing failed

    @classmethod
    def open(cls, target: Path | int, options: Ext4Options | None = None) -> Ext4Writer:
        """Start an image in *target*, a path or the descriptor of a regular file, and truncate it.

        The caller still has to close a descriptor. Raises :class:`PathNotFoundError` if the parent
        directory does not exist, and :class:`UnsupportedError` if *target* is not a regular file.
        """
        options = options or Ext4Options()
        image = ImageFile.open(target)
        try:
            if isinstance(options.size, int) and not options.sparse:
                image.reserve(options.size)
            return cls(image, options)
        except BaseException:
            image.close()
            raise

    def close(self) -> None:
        """Close the image file."""
        self._image.close()

    def expect(self, data: int, inodes: int) -> None:
        """Raise :class:`NoSpaceError` if *data* bytes in *inodes* inodes certainly do not fit.

        *inodes* includes the root; it may include ``lost+found``.
        """
        trial, limit = self._space.copy(), self._space.limit
        trial.limit = MAX_BLOCKS
        trial.allocate(blocks_of(data))
        if trial.end > limit:
            raise no_space(trial.end * BLOCK, limit * BLOCK)
        trial.limit = limit
        last = FIRST_INODE - 1 + max(1, inodes - 1)  # the root has a reserved inode
        plan_layout(trial, last, self._options)

    def store(
        self, chunks: Iterable[Buffer], size: int, regions: Sequence[Region] | None = None
    ) -> FileExtents:
        """Store a file of *size* bytes in one pass over *chunks*.

        *regions* are the data regions of a sparse file; *chunks* then contain only their data, back
        to back. Blocks of zeros become holes, whether the file is sparse or not.

        Raises :class:`TruncatedError` or :class:`SizeMismatchError` if *chunks* contain too little
        or too much data, and :class:`MalformedError` if *regions* overlap or exceed *size*.
        """
        self._unfinished += 1
        contents = store(self._image, self._space.take, chunks, size, regions)
        self._unfinished -= 1
        return contents

    def reserve(self, size: int) -> FileExtents:
        """Reserve zeroed blocks for *size* bytes of data, which :meth:`fill` stores later."""
        blocks = self._space.take(blocks_of(size))
        return FileExtents(size, tuple(extents_of(blocks)))

    def fill(
        self,
        reserved: FileExtents,
        chunks: Iterable[Buffer],
        size: int,
        regions: Sequence[Region] | None = None,
    ) -> FileExtents:
        """Store a file as :meth:`store` does, in the *reserved* blocks.

        Raises :class:`VerificationError` unless their size is the
        :func:`~tarkit.ext4.contents.data_size` of the file.
        """
        self._unfinished += 1
        blocks = Reserved(reserved)
        contents = store(self._image, blocks.take, chunks, size, regions)
        blocks.check_taken()
        self._unfinished -= 1
        return contents

    def discard(self, contents: FileExtents, *, written: bool = True) -> None:
        """Free the blocks of *contents* and overwrite them with zeros; no node may use them.

        Pass *written* as False to skip overwriting blocks that were only reserved.
        """
        for extent in contents.extents:
            if written:
                self._image.write_zeros(extent.physical * BLOCK, extent.count * BLOCK)
            self._space.release(Run(extent.physical, extent.count))

    def finish(
        self, root: Ext4Node | Ext4Tree, on_settled: Callable[[int], None] | None = None
    ) -> Ext4Result:
        """Write the file system whose root directory is *root*, or that of the tree *root*.

        *on_settled* is called with the number of bytes at the front that no longer change, as soon
        as it is known, so that the caller can start to read them.

        Raises :class:`UnsupportedError` or :class:`UnsafePathError`, with the path, if ext4 cannot
        store a node, and ``ValueError`` unless each stored file that was not discarded belongs to
        exactly one node.
        """
        if self._unfinished:
            raise ValueError(f"{self._unfinished} files were not stored completely")
        self._space.put_back()
        tree = NodeTree(root) if isinstance(root, Ext4Node) else root
        finisher = Finisher(self._image, self._space, tree, self._options)
        finisher.check_contents()
        return finisher.finish(on_settled)


def _first_space(options: Ext4Options) -> Space:
    """Return a space of all blocks except those that descriptors may need."""
    if isinstance(options.size, int):
        blocks = options.size // BLOCK
        wide = blocks > MAX_NARROW_BLOCKS
        prefix = prefix_for(blocks, grows=can_grow(options, wide=wide), wide=wide)
        return Space(prefix, blocks)
    return Space(prefix_for(MAX_FOUND_BLOCKS, grows=False, wide=False), MAX_FOUND_BLOCKS)
