"""Measure wall time, CPU time and memory of whole processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU time in seconds, peak memory in bytes."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The medians of several pairs of runs, and each side's output size in the last pair."""

    ours: Cost
    theirs: Cost
    our_bytes: int
    their_bytes: int

    @property
    def wall_ratio(self) -> float:
        """Our wall time divided by theirs."""
        return self.ours.wall / self.theirs.wall

    @property
    def size_ratio(self) -> float | None:
        """Our output size divided by theirs, or None if nothing was written."""
        return self.our_bytes / self.their_bytes if self.their_bytes else None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: a command, its output, and its preparation before each run."""

    command: Sequence[str | Path]
    output: Path | None = None
    prepare: Callable[[], object] = lambda: None

    def run(self) -> Cost:
        """Run the command once; raise an error if it fails."""
        self.prepare()
        os.sync()
        begin = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, self.command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(
                f"exit code {process.returncode}: {' '.join(map(str, self.command))}"
            )
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)

    def written(self) -> int:
        """Return the size of the output in bytes."""
        return tree_size(self.output) if self.output else 0


def compare(ours: Side, theirs: Side, *, pairs: int, warm: bool = True) -> Comparison:
    """Run both sides alternately, *pairs* times; if *warm*, first run each once without counting it."""
    for side in (ours, theirs) if warm else ():
        side.run()
    costs: tuple[list[Cost], list[Cost]] = ([], [])
    for pair in range(pairs):
        # alternate the order, so that neither side always benefits from the other's caches
        order = (0, 1) if pair % 2 else (1, 0)
        for which in order:
            costs[which].append((ours, theirs)[which].run())
    return Comparison(median(costs[0]), median(costs[1]), ours.written(), theirs.written())


def median(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        int(statistics.median(cost.memory for cost in costs)),
    )


def tree_size(path: Path) -> int:
    """Return the size of a file, or of all files below a directory, in bytes."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
