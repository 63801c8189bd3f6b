"""Which blocks of the image are taken: an end that moves forward, and holes left behind it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

from tarkit.errors import NoSpaceError
from tarkit.ext4.format import BLOCK, BLOCKS_PER_GROUP, backup_groups

MAX_BLOCKS = 2**48
"""More than any image has."""

_ALL_BACKUPS = tuple(group * BLOCKS_PER_GROUP for group in backup_groups(2**28))


@dataclass(slots=True)  # see ext4.node.Extent
class Run:
    """*count* blocks of the image from *start* on."""

    start: int
    count: int

    @property
    def end(self) -> int:
        """The block just past the run."""
        return self.start + self.count


class Space:
    """Hands out blocks below *limit*, never those that superblocks and descriptors may need.

    The first *prefix* blocks of the image, and of every group that has a backup, are kept back.
    ``end`` is the block just past the last one handed out, ``taken`` counts those that are out.
    """

    def __init__(self, prefix: int, limit: int) -> None:
        self.prefix = prefix
        self.limit = limit
        self.end = prefix
        self.taken = 0
        self._starts: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._by_size: list[tuple[int, int]] = []
        self._begun: Run | None = None

    def copy(self) -> Space:
        """An independent copy, to try something out on."""
        twin = Space(self.prefix, self.limit)
        twin.end, twin.taken = self.end, self.taken
        twin._starts, twin._ends = self._starts.copy(), self._ends.copy()
        twin._by_size = self._by_size.copy()
        twin._begun = self._begun
        return twin

    def allocate(self, count: int) -> list[Run]:
        """*count* blocks in as few runs as may be: the smallest hole that takes all, or the end.

        Raises :class:`NoSpaceError` at the limit.
        """
        if not count:
            return []
        self.taken += count
        hole = self._take_hole(count)
        return self._append(count) if hole is None else [hole]

    def take(self, count: int) -> list[Run]:
        """Return *count* more blocks: what is left of the largest hole, of the next one, then the end.

        So how many are asked for at a time makes no difference. What is left of the last hole stays
        out until :meth:`put_back`. Raises :class:`NoSpaceError` at the limit.
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
        """Make a hole of what :meth:`take` has left of one."""
        if self._begun:
            hole, self._begun = self._begun, None
            self._leave(hole)

    def allocate_contiguous(self, count: int) -> Run:
        """*count* blocks in one run; a stretch at the end too short for it becomes a hole."""
        self.taken += count
        hole = self._take_hole(count)
        if hole is not None:
            return hole
        room = self._room_at_end()
        if room and room < count:
            self._leave(self._extend(room))
            self._room_at_end()
        return self._extend(count)

    def release(self, run: Run) -> None:
        """Take back *run*, which may be part of what was handed out together."""
        self.taken -= run.count
        self._leave(run)

    def _leave(self, run: Run) -> None:
        """Make *run* a hole, joined with the holes it touches."""
        start, end = run.start, run.end
        if start in self._ends:
            start = self._remove(self._ends[start]).start
        if end in self._starts:
            end = self._remove(end).end
        self._add(Run(start, end - start))

    def narrow(self, prefix: int) -> None:
        """Keep back only *prefix* blocks from now on; what that frees becomes holes."""
        assert prefix <= self.prefix, "what is handed out cannot be kept back"
        for base in _ALL_BACKUPS:
            if base >= self.end:
                break
            if prefix < self.prefix:
                self._leave(Run(base + prefix, self.prefix - prefix))
        self.prefix = prefix

    def holes(self) -> list[Run]:
        """The holes before the end, in order."""
        return [Run(start, self._starts[start]) for start in sorted(self._starts)]

    def free_runs(self, total: int) -> Iterator[Run]:
        """All that is free in an image of *total* blocks, in order."""
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
        """How many blocks are free in an image of *total* blocks."""
        return sum(run.count for run in self.free_runs(total))

    def _room_at_end(self) -> int:
        """Blocks up to the next backup; 0 past the last. Steps over a backup the end is at."""
        at = bisect_left(_ALL_BACKUPS, self.end)
        if at < len(_ALL_BACKUPS) and _ALL_BACKUPS[at] == self.end:
            self.end += self.prefix
            at += 1
        return _ALL_BACKUPS[at] - self.end if at < len(_ALL_BACKUPS) else 0

    def _append(self, count: int) -> list[Run]:
        """Return *count* blocks behind the end, in one run unless a backup is in the way."""
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
    """The error for an image that needs *needed* bytes at least where *given* may be used."""
    return NoSpaceError(
        f"the image needs at least {needed} bytes, and {given} are allowed",
        hint="ask for a larger size in bytes",
    )
