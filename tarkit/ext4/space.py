"""Allocate blocks: at an end that moves forward, and in holes left behind it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from tarkit.errors import NoSpaceError
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, backup_groups
from tarkit.values import dataclass

MAX_BLOCKS = 2**48
"""More blocks than any image can have."""

# First blocks of all groups with a backup of superblock and descriptors.
_ALL_BACKUPS = tuple(group * BLOCKS_PER_GROUP for group in backup_groups(2**28))


@dataclass(slots=True)  # not frozen, for speed: see ext4.node.Extent
class Run:
    """``count`` consecutive blocks of the image, from ``start`` on."""

    start: int
    count: int

    @property
    def end(self) -> int:
        """The block after the run."""
        return self.start + self.count


class Space:
    """Allocates blocks below *limit*, except those that superblocks and descriptors may need.

    The first *prefix* blocks of the image, and of every group with a backup, are reserved. ``end``
    is the block after the last one allocated, ``taken`` the number of allocated blocks.
    """

    def __init__(self, prefix: int, limit: int) -> None:
        self.prefix = prefix
        self.limit = limit
        self.end = prefix
        self.taken = 0
        self._starts: dict[int, int] = {}  # sizes of holes by start
        self._ends: dict[int, int] = {}  # starts of holes by end
        self._by_size: list[tuple[int, int]] = []  # (size, start) of holes, sorted
        self._begun: Run | None = None  # rest of the hole that take() is using up

    def copy(self) -> Space:
        """Return an independent copy, for a trial."""
        twin = Space(self.prefix, self.limit)
        twin.end, twin.taken = self.end, self.taken
        twin._starts, twin._ends = self._starts.copy(), self._ends.copy()
        twin._by_size = self._by_size.copy()
        twin._begun = self._begun
        return twin

    def allocate(self, count: int) -> list[Run]:
        """Allocate *count* blocks, in the smallest hole that fits them all or at the end.

        Raises :class:`NoSpaceError` if the limit is reached.
        """
        if not count:
            return []
        self.taken += count
        hole = self._take_hole(count)
        return self._append(count) if hole is None else [hole]

    def take(self, count: int) -> list[Run]:
        """Allocate the next *count* blocks from the largest hole, then the next, then the end.

        The order of blocks does not depend on how they are split into calls. Until
        :meth:`put_back` is called, no other method can use the rest of the last hole. Raises
        :class:`NoSpaceError` if the limit is reached.
        """
        self.taken += count
        runs: list[Run] = []
        while count and (self._by_size or self._begun):
            hole = self._begun or self._remove(self._by_size[-1][1])
            part = Run(hole.start, min(count, hole.count))
            left = hole.count - part.count
            self._begun = Run(part.end, left) if left else None
            runs.append(part)
            count -= part.count
        return runs + self._append(count) if count else runs

    def put_back(self) -> None:
        """Make the rest of the hole used by :meth:`take` available again."""
        if self._begun:
            hole, self._begun = self._begun, None
            self._leave(hole)

    def allocate_contiguous(self, count: int) -> Run:
        """Allocate *count* blocks in one run; leave a hole if a backup is too near."""
        self.taken += count
        hole = self._take_hole(count)
        if hole is not None:
            return hole
        room = self._room_at_end()
        if room and room < count:
            self._leave(self._extend(room))
            self._room_at_end()  # step over the backup
        return self._extend(count)

    def release(self, run: Run) -> None:
        """Free *run*, which may be part of an allocation."""
        self.taken -= run.count
        self._leave(run)

    def _leave(self, run: Run) -> None:
        """Make *run* a hole and join it with adjacent holes."""
        start, end = run.start, run.end
        if start in self._ends:
            start = self._remove(self._ends[start]).start
        if end in self._starts:
            end = self._remove(end).end
        self._add(Run(start, end - start))

    def narrow(self, prefix: int) -> None:
        """Reduce the reserved blocks to *prefix*; the blocks freed become holes."""
        assert prefix <= self.prefix, "blocks already allocated cannot be reserved"
        for base in _ALL_BACKUPS:
            if base >= self.end:
                break
            if prefix < self.prefix:
                self._leave(Run(base + prefix, self.prefix - prefix))
        self.prefix = prefix

    def holes(self) -> list[Run]:
        """Return the holes before the end, in order."""
        return [Run(start, self._starts[start]) for start in sorted(self._starts)]

    def free_runs(self, total: int) -> Iterator[Run]:
        """Yield all free runs of an image of *total* blocks, in order."""
        yield from self.holes()
        position = self.end
        for base in _ALL_BACKUPS[bisect_left(_ALL_BACKUPS, position) :]:
            if base >= total:
                break
            if base > position:
                yield Run(position, base - position)
            position = base + self.prefix
        if total > position:
            yield Run(position, total - position)

    def free_blocks(self, total: int) -> int:
        """Return the number of free blocks in an image of *total* blocks."""
        return sum(run.count for run in self.free_runs(total))

    def _room_at_end(self) -> int:
        """Move the end past a backup if it is at one; return the blocks before the next, or 0."""
        at = bisect_left(_ALL_BACKUPS, self.end)
        if at < len(_ALL_BACKUPS) and _ALL_BACKUPS[at] == self.end:
            self.end += self.prefix
            at += 1
        return _ALL_BACKUPS[at] - self.end if at < len(_ALL_BACKUPS) else 0

    def _append(self, count: int) -> list[Run]:
        """Allocate *count* blocks at the end, in one run unless a backup is in the way."""
        runs = []
        while count:
            room = self._room_at_end()
            part = min(count, room) if room else count
            runs.append(self._extend(part))
            count -= part
        return runs

    def _extend(self, count: int) -> Run:
        run = Run(self.end, count)
        if run.end > self.limit:
            raise no_space(run.end * BLOCK, self.limit * BLOCK)
        self.end = run.end
        return run

    def _take_hole(self, count: int) -> Run | None:
        if not self._by_size or self._by_size[-1][0] < count:
            return None
        # Best fit: the smallest hole that is large enough keeps large holes whole.
        at = bisect_left(self._by_size, (count, 0))
        hole = self._remove(self._by_size[at][1])
        if hole.count > count:
            self._add(Run(hole.start + count, hole.count - count))
        return Run(hole.start, count)

    def _add(self, run: Run) -> None:
        self._starts[run.start] = run.count
        self._ends[run.end] = run.start
        insort(self._by_size, (run.count, run.start))

    def _remove(self, start: int) -> Run:
        run = Run(start, self._starts.pop(start))
        del self._ends[run.end]
        del self._by_size[bisect_left(self._by_size, (run.count, run.start))]
        return run


def no_space(needed: int, given: int) -> NoSpaceError:
    """Return the error for an image that needs at least *needed* bytes but may use only *given*."""
    return NoSpaceError(
        f"the image needs at least {needed} bytes, but only {given} are allowed",
        hint="choose a larger size, or the size 'min', which is the smallest that works",
    )
