"""The writer: contents first, as they arrive, then the tree they belong to."""

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
from tarkit.ext4.node import Ext4Node, FileExtents, Region
from tarkit.ext4.options import Ext4Options
from tarkit.ext4.space import MAX_BLOCKS, Run, Space, no_space
from tarkit.streams.closeable import Closeable
from tarkit.streams.uncached import Buffer


class Ext4Writer(Closeable):
    """Writes one ext4 image: :meth:`store` any number of times, then :meth:`finish` once.

    A context manager, for one thread. The same calls with the same options give the same bytes,
    however contents are cut into chunks. Until :meth:`finish` has returned the file is not a file
    system, and after an error it cannot become one: the caller removes it. All methods raise
    :class:`NoSpaceError` when the image or the machine is full and :class:`TransportError` when
    the machine fails; of what a thread writes, a later call tells, :meth:`finish` at the latest.
    """

    def __init__(self, image: ImageFile, options: Ext4Options) -> None:
        self._image = image
        self._options = options
        self._space = _first_space(options)
        self._unfinished = 0  # files

    @classmethod
    def open(cls, target: Path | int, options: Ext4Options | None = None) -> Ext4Writer:
        """Start an image in *target*, a path or the descriptor of a regular file, emptied first.

        A descriptor stays the caller's to close. Raises :class:`PathNotFoundError` for a directory
        that is not there, and :class:`UnsupportedError` for anything but a regular file.
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
        """Raise :class:`NoSpaceError` now if *data* bytes in *inodes* inodes provably do not fit.

        The root is one of these; ``lost+found`` may be.
        """
        trial, limit = self._space.copy(), self._space.limit
        trial.limit = MAX_BLOCKS
        trial.allocate(blocks_of(data))
        if trial.end > limit:
            raise no_space(trial.end * BLOCK, limit * BLOCK)
        trial.limit = limit
        last = FIRST_INODE - 1 + max(1, inodes - 1)  # the root's is one of the reserved ones
        plan_layout(trial, last, self._options)

    def store(
        self, chunks: Iterable[Buffer], size: int, regions: Sequence[Region] | None = None
    ) -> FileExtents:
        """Store a file of *size* bytes in one pass over *chunks*.

        For a sparse file *regions* say where data is; *chunks* hold only that, back to back. Blocks
        of zeros become holes, whether the file is sparse or not.
        Raises :class:`TruncatedError` and :class:`SizeMismatchError` if *chunks* hold less or
        more than they should, :class:`MalformedError` for *regions* that overlap or reach out.
        """
        self._unfinished += 1
        contents = store(self._image, self._space.take, chunks, size, regions)
        self._unfinished -= 1
        return contents

    def reserve(self, size: int) -> FileExtents:
        """Set blocks aside for *size* bytes of data, for :meth:`fill` to bring later.

        What is never filled is zeros.
        """
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

        They must be as many as :func:`~tarkit.ext4.contents.data_size` says; raises
        :class:`VerificationError` if not.
        """
        self._unfinished += 1
        blocks = Reserved(reserved)
        contents = store(self._image, blocks.take, chunks, size, regions)
        blocks.check_taken()
        self._unfinished -= 1
        return contents

    def discard(self, contents: FileExtents, *, written: bool = True) -> None:
        """Forget *contents*, which no node may have: not a byte of them remains in the image.

        What was only reserved, and not *written*, takes no writing now either.
        """
        for extent in contents.extents:
            if written:
                self._image.write_zeros(extent.physical * BLOCK, extent.count * BLOCK)
            self._space.release(Run(extent.physical, extent.count))

    def finish(self, root: Ext4Node, on_settled: Callable[[int], None] | None = None) -> Ext4Result:
        """Write the file system whose root directory is *root*.

        While that goes on, *on_settled* is called with how many bytes from the front stay as they
        are from now on: they may be read already.

        Raises :class:`UnsupportedError` or :class:`UnsafePathError`, with the path, for what ext4
        cannot hold, and ``ValueError`` unless everything stored and not discarded belongs to
        exactly one node.
        """
        if self._unfinished:
            raise ValueError(f"{self._unfinished} files were not stored to their end")
        self._space.put_back()
        finisher = Finisher(self._image, self._space, root, self._options)
        extents = finisher.contents_extents()
        held, stored = sum([extent.count for extent in extents]), self._space.taken
        if held != stored:
            raise ValueError(f"nodes have {held} blocks of contents, {stored} are stored")
        if len({extent.physical for extent in extents}) < len(extents):
            raise ValueError("two nodes have the same contents")
        return finisher.finish(on_settled)


def _first_space(options: Ext4Options) -> Space:
    """All blocks but those that descriptors may turn out to need."""
    if isinstance(options.size, int):
        blocks = options.size // BLOCK
        wide = blocks > MAX_NARROW_BLOCKS
        prefix = prefix_for(blocks, grows=can_grow(options, wide=wide), wide=wide)
        return Space(prefix, blocks)
    return Space(prefix_for(MAX_FOUND_BLOCKS, grows=False, wide=False), MAX_FOUND_BLOCKS)
