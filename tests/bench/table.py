"""Rows of a benchmark table, and their results."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from tarkit.image.media_types import Compression
from tests.bench.limits import measured_apart
from tests.bench.measure import Comparison, Side, compare
from tests.bench.subject import Subject

PAIRS = int(os.environ.get("TARKIT_BENCH_PAIRS", "5"))
TARKIT = (sys.executable, "-m", "tarkit")
SKOPEO = ("skopeo", "--insecure-policy")
MEMORY_TARGET = 100 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: the task, both sides, and the limits of the ratios."""

    work: str
    ours: Side
    theirs: Side
    wall_target: float
    size_target: float | None = None
    memory_target: int = MEMORY_TARGET
    pairs: int | None = None  # for runs that take minutes: no warm-up run
    codec: Compression | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a row; ``limit`` is the share of the wall time that raw hashing and compression need."""

    row: Row
    comparison: Comparison
    limit: float | None

    @property
    def holds(self) -> bool:
        """Return whether every target is met."""
        size = self.comparison.size_ratio
        return (
            self.comparison.wall_ratio <= self.row.wall_target
            and self.comparison.ours.memory <= self.row.memory_target
            and (self.row.size_target is None or (size or 0) <= self.row.size_target)
        )


def remover(*paths: Path) -> Callable[[], None]:
    """Return a function that removes *paths*, so that a run starts without output."""

    def remove() -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return remove


def put_aside(*paths: Path) -> Callable[[], None]:
    """Return a function that renames *paths*, so that a run starts without output and without deletions.

    ext4 checks every recently deleted inode before it allocates another one. Creating a tree just
    after one was removed would measure these checks, with either tool.
    """

    def move() -> None:
        for path in paths:
            if path.exists():
                path.rename(path.with_name(f"{uuid4().hex}-{path.name}"))

    return move


def measure(row: Row, subject: Subject | None = None) -> Result:
    """Measure one row, and compare it with the limit of the libraries."""
    print(f"{row.work} …", file=sys.stderr, end=" ", flush=True)
    comparison = compare(row.ours, row.theirs, pairs=row.pairs or PAIRS, warm=row.pairs is None)
    limit = None
    if row.codec and subject:
        least = measured_apart(subject.archive, subject.bytes, comparison.our_bytes, row.codec)
        limit = least / comparison.ours.wall
    print(f"{comparison.wall_ratio:.2f}", file=sys.stderr, flush=True)
    return Result(row, comparison, limit)


def line(result: Result) -> str:
    """Return a line of the table."""
    ours, theirs = result.comparison.ours, result.comparison.theirs
    size, size_target = result.comparison.size_ratio, result.row.size_target
    cells = (
        result.row.work,
        f"{ours.wall:.2f} s",
        f"{theirs.wall:.2f} s",
        f"**{result.comparison.wall_ratio:.2f}**",
        f"≤ {result.row.wall_target:.2f}",
        f"{ours.cpu:.2f} / {theirs.cpu:.2f} s",
        f"{ours.memory >> 20} / {theirs.memory >> 20} MiB",
        f"{size:.3f}" + (f" (≤ {size_target:.2f})" if size_target else "") if size else "",
        f"{result.limit:.0%}" if result.limit else "",
        "yes" if result.holds else "**no**",
    )
    return f"| {' | '.join(cells)} |"


HEADING = """\
| work | tarkit | peer | wall ratio | target | CPU | peak memory | bytes | of the limit | holds |
|---|---|---|---|---|---|---|---|---|---|"""
