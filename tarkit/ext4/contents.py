"""File contents on their way into the image, in one pass and whatever their pieces' sizes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tarkit.errors import MalformedError, SizeMismatchError, TruncatedError, UnsupportedError
from tarkit.ext4.extents import extents_of
from tarkit.ext4.format import BLOCK, blocks_of
from tarkit.ext4.image import ImageFile
from tarkit.ext4.node import Contents, Extent, Region
from tarkit.ext4.space import Run, Space
from tarkit.streams.uncached import Buffer


class _Feed:
    """Data that arrives in chunks of any size."""

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._rest: Buffer = b""
        self._taken = 0

    def copy(self, image: ImageFile, offset: int, count: int) -> None:
        """Write the next *count* bytes; :class:`TruncatedError` if there are fewer."""
        while count:
            chunk = self._rest or self._next()
            size = len(chunk)
            if size > count:
                chunk = memoryview(chunk)
                self._rest, chunk, size = chunk[count:], chunk[:count], count
            else:
                self._rest = b""
            image.write(offset, chunk)
            self._taken += size
            offset, count = offset + size, count - size

    def check_end(self) -> None:
        """Raise :class:`SizeMismatchError` if there is more data."""
        if self._rest or any(map(len, self._chunks)):
            raise SizeMismatchError(self._taken, self._taken + 1)

    def _next(self) -> Buffer:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise _ends_early(self._taken)
        return chunk


def _ends_early(size: int) -> TruncatedError:
    return TruncatedError(f"file contents end after {size} bytes")


def check_regions(regions: Sequence[Region], size: int) -> None:
    """Raise :class:`MalformedError` unless *regions* are in order, apart and inside *size* bytes."""
    position = 0
    for region in regions:
        if region.offset < position or region.length < 0 or region.end > size:
            raise MalformedError(
                f"a sparse file of {size} bytes has data at {region.offset}+{region.length}"
            )
        position = region.end


def reserve(space: Space, size: int, regions: Sequence[Region] | None) -> Contents:
    """Blocks for a file of *size* bytes whose data are *regions*, all of it by default.

    Raises :class:`NoSpaceError` if it does not fit.
    """
    if regions is None and size >= 0:
        return Contents(size, tuple(extents_of(space.allocate(blocks_of(size)))))
    extents = [
        extent
        for span in _spans(data_regions(size, regions))
        for extent in extents_of(space.allocate(span.count), span.start)
    ]
    return Contents(size, tuple(extents))


def fill(
    image: ImageFile, contents: Contents, chunks: Iterable[Buffer], regions: Sequence[Region] | None
) -> None:
    """Write *chunks*, the data of *contents*, which were reserved for *regions*.

    Raises :class:`TruncatedError` or :class:`SizeMismatchError` where they hold less or more.
    """
    if regions is None and len(contents.extents) == 1:  # as nearly all are
        _fill_run(image, contents.extents[0].physical * BLOCK, contents.size, chunks)
        return
    feed = _Feed(chunks)
    _fill(image, contents.extents, data_regions(contents.size, regions), feed)
    feed.check_end()


def _fill_run(image: ImageFile, start: int, size: int, chunks: Iterable[Buffer]) -> None:
    """Write *chunks*, which have *size* bytes, from *start* on, and zeros to the end of the block."""
    position, end = start, start + size
    for chunk in chunks:
        if len(chunk) > end - position:
            raise SizeMismatchError(size, size + 1)
        image.write(position, chunk)
        position += len(chunk)
    if position < end:
        raise _ends_early(position - start)
    image.write_zeros(end, -size % BLOCK)


def data_regions(size: int, regions: Sequence[Region] | None) -> Sequence[Region]:
    """Those of *regions* that hold anything, once they were checked; ``None`` is all of the file."""
    if size < 0:
        raise UnsupportedError(f"a file of {size} bytes")
    if regions is None:
        return (Region(0, size),) if size else ()
    check_regions(regions, size)
    return [region for region in regions if region.length]


def _spans(regions: Sequence[Region]) -> list[Run]:
    """The blocks of the file that *regions* touch, as few runs as they are."""
    spans: list[Run] = []
    for region in regions:
        first, end = region.offset // BLOCK, blocks_of(region.end)
        if spans and first <= spans[-1].end:
            first = spans.pop().start
        spans.append(Run(first, end - first))
    return spans


def _fill(
    image: ImageFile, extents: Sequence[Extent], regions: Sequence[Region], feed: _Feed
) -> None:
    """Write every byte of *extents*: data where there are *regions*, zeros elsewhere."""
    current = 0
    for extent in extents:
        position, end = extent.logical * BLOCK, (extent.logical + extent.count) * BLOCK
        shift = extent.physical * BLOCK - position
        while current < len(regions) and regions[current].offset < end:
            region = regions[current]
            start, stop = max(region.offset, position), min(region.end, end)
            image.write_zeros(position + shift, start - position)
            feed.copy(image, start + shift, stop - start)
            position = stop
            if region.end > end:
                break
            current += 1
        image.write_zeros(position + shift, end - position)
