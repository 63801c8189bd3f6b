"""Names in the order of an archive, stored compactly as runs of siblings."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MAX_RUN = 1024
"""Maximum number of names in a run; reading one name splits its whole run."""


class Run(NamedTuple):
    """Consecutive names with the same *parent*, which ends with a slash unless it is empty.

    *first* is the position of the first name; *joined* holds the rest of each name, with a NUL
    between two.
    """

    first: int
    parent: bytes
    joined: bytes

    @property
    def bases(self) -> list[bytes]:
        """The names without the parent; that of a directory may end with a slash."""
        return self.joined.split(b"\0")


class SiblingNames:
    """A growing sequence of names without NUL bytes."""

    def __init__(self) -> None:
        self._runs: list[Run] = []
        self._firsts = array("I")
        self._parents: dict[bytes, bytes] = {}  # each parent once, though it may have many runs
        self._parent = b""
        self._open: list[bytes] = []  # the bases of the last run
        self._count = 0
        self._split: tuple[int, bytes, list[bytes]] = (-1, b"", [])  # the last run read

    def __len__(self) -> int:
        return self._count

    def append(self, name: bytes) -> None:
        """Add *name* after all others."""
        cut = name.rfind(b"/", 0, -1) + 1
        parent = name[:cut]
        if parent != self._parent or len(self._open) == MAX_RUN:
            self.seal()
            self._parent = parent
        self._open.append(name[cut:])
        self._count += 1

    def seal(self) -> None:
        """End the last run: later names start a new one."""
        if self._open:
            parent = self._parents.setdefault(self._parent, self._parent)
            self._add_run(self._count - len(self._open), parent, self._open)
            self._open = []

    def finish(self) -> None:
        """End the last run, and free the memory that only appending needs."""
        self.seal()
        self._parents = {}

    def extend(self, parents: list[bytes], counts: Sequence[int], bases: list[bytes]) -> None:
        """Add the names *bases* in runs: *counts* of them belong to each of *parents*."""
        self.seal()
        start = 0
        for parent, count in zip(parents, counts, strict=True):
            self._add_run(self._count, parent, bases[start : start + count])
            self._count += count
            start += count

    def _add_run(self, first: int, parent: bytes, bases: list[bytes]) -> None:
        self._runs.append(Run(first, parent, b"\0".join(bases)))
        self._firsts.append(first)

    def __getitem__(self, position: int) -> bytes:
        opened = position - self._count + len(self._open)
        if opened >= 0:  # in the last run, which goes on
            return self._parent + self._open[opened]
        first, parent, bases = self._split
        if not first <= position < first + len(bases):
            self.seal()
            first, parent, joined = self._runs[bisect_right(self._firsts, position) - 1]
            bases = joined.split(b"\0")
            self._split = first, parent, bases
        return parent + bases[position - first]

    def __iter__(self) -> Iterator[bytes]:
        for _, parent, joined in self.runs():
            for base in joined.split(b"\0"):
                yield parent + base

    def runs(self, first: int = 0) -> Iterator[Run]:
        """Yield the runs, beginning with the one that starts at position *first*."""
        self.seal()
        yield from self._runs[bisect_left(self._firsts, first) :]
