"""Store file contents in the image, in one pass over chunks of any size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import TypeAlias

from tarkit.errors import UnsupportedError, VerificationError
from tarkit.ext4.format import BLOCK, blocks_of
from tarkit.ext4.image import ImageFile
from tarkit.ext4.node import Extent, FileExtents, Region
from tarkit.ext4.space import Run
from tarkit.streams.uncached import Buffer
from tarkit.streams.zeros import data_blocks

Take: TypeAlias = Callable[[int], Sequence[Run]]
"""A function that returns the next *count* blocks of the image, in order."""


def data_size(chunks: Iterable[Buffer], size: int, regions: Sequence[Region] | None = None) -> int:
    """Return the bytes that a file takes up in the image: whole blocks, without blocks of zeros.

    Parameters and errors are the same as for :meth:`tarkit.ext4.writer.Ext4Writer.store`.
    """
    return sum(blocks_of(len(data)) for _, data in _data_of(chunks, size, regions)) * BLOCK


def store(
    image: ImageFile,
    take: Take,
    chunks: Iterable[Buffer],
    size: int,
    regions: Sequence[Region] | None,
) -> FileExtents:
    """Write a file of *size* bytes into blocks returned by *take*."""
    extents: list[Extent] = []
    # *offset* is a multiple of BLOCK: data_blocks drops only whole blocks of zeros.
    for offset, data in _data_of(chunks, size, regions):
        logical = offset // BLOCK
        for run, part in _split(data, take(blocks_of(len(data)))):
            _append(extents, logical, run)
            _write(image, run.start * BLOCK, part)
            logical += run.count
    return FileExtents(size, tuple(extents))


def _split(data: Buffer, runs: Sequence[Run]) -> Iterable[tuple[Run, Buffer]]:
    """Split *data* among *runs*; the last part may be shorter than its run."""
    if len(runs) == 1:  # the usual case
        return ((runs[0], data),)
    ends = list(accumulate(run.count * BLOCK for run in runs))
    parts = (
        memoryview(data)[end - run.count * BLOCK : end] for run, end in zip(runs, ends, strict=True)
    )
    return zip(runs, parts, strict=True)


def _write(image: ImageFile, position: int, data: Buffer) -> None:
    """Write *data* at *position*, padded with zeros to whole blocks."""
    image.write(position, data)
    rest = len(data) % BLOCK
    if rest:
        image.write_zeros(position + len(data), BLOCK - rest)


def _append(extents: list[Extent], logical: int, run: Run) -> None:
    """Append *run*, which holds the file from block *logical* on; join adjacent extents."""
    if extents:
        last = extents[-1]
        if (last.logical + last.count, last.physical + last.count) == (logical, run.start):
            last.count += run.count
            return
    extents.append(Extent(logical, run.start, run.count))


class Reserved:
    """The blocks of *contents*, reserved for one file, which must use all of them."""

    def __init__(self, contents: FileExtents) -> None:
        # Reversed, so that pop() returns the runs in order.
        self._left = [Run(each.physical, each.count) for each in reversed(contents.extents)]

    def take(self, count: int) -> list[Run]:
        """Return the next *count* blocks."""
        runs = []
        while count:
            if not self._left:
                raise _changed()
            run = self._left.pop()
            part = Run(run.start, min(count, run.count))
            if run.count > part.count:
                self._left.append(Run(part.end, run.count - part.count))
            runs.append(part)
            count -= part.count
        return runs

    def check_taken(self) -> None:
        """Raise :class:`VerificationError` if any blocks are left."""
        if self._left:
            raise _changed()


def _changed() -> VerificationError:
    return VerificationError("file contents changed since they were measured")


def _data_of(
    chunks: Iterable[Buffer], size: int, regions: Sequence[Region] | None
) -> Iterable[tuple[int, Buffer]]:
    if size < 0:
        raise UnsupportedError(f"a file cannot have {size} bytes")
    segments = None if regions is None else [(each.offset, each.length) for each in regions]
    return data_blocks(chunks, size, segments)
