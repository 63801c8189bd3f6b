"""Compare reading headers with the standard library, in this process, on the same bytes."""

from __future__ import annotations

import io
import statistics
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from tarkit.tar.reader import TarReader

MEMBERS = 5_000
DIALECTS = {
    "ustar": tarfile.USTAR_FORMAT,
    "GNU": tarfile.GNU_FORMAT,
    "pax, with fractions of seconds": tarfile.PAX_FORMAT,
}
TARGET = 5.0
_PAIRS = 9


@dataclass(frozen=True, slots=True)
class HeaderResult:
    """Members per second: the medians of alternating runs of both sides."""

    dialect: str
    ours: float
    theirs: float

    @property
    def holds(self) -> bool:
        """Return whether the target is met."""
        return self.ours / self.theirs >= TARGET


def headers_section() -> tuple[str, list[HeaderResult]]:
    """Return the table under its title, and the result for each dialect."""
    results = [measured(name, layer(dialect)) for name, dialect in DIALECTS.items()]
    lines = [
        f"| {each.dialect} | {each.ours:,.0f} | {each.theirs:,.0f} "
        f"| **{each.ours / each.theirs:.1f}** | ≥ {TARGET:.1f} | {'yes' if each.holds else '**no**'} |"
        for each in results
    ]
    table = (
        "| dialect | tarkit, members/s | tarfile, members/s | ratio | target | holds |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(lines)
    )
    return f"## Tar headers\n\n{table}\n", results


def measured(name: str, archive: bytes) -> HeaderResult:
    """Return the result of measuring both sides on *archive*."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_PAIRS):
        for side, read in enumerate((by_tarkit, by_tarfile)):
            seconds[side].append(duration(read, archive))
    ours, theirs = (MEMBERS / statistics.median(each) for each in seconds)
    return HeaderResult(name, ours, theirs)


def duration(read: Callable[[bytes], int], archive: bytes) -> float:
    """Return the time in seconds that *read* takes for *archive*."""
    begin = time.perf_counter()
    if read(archive) != MEMBERS:
        raise RuntimeError(f"{read.__name__} did not find {MEMBERS} members")
    return time.perf_counter() - begin


def layer(dialect: int) -> bytes:
    """Return an archive of small files, written by tarfile; fractions of seconds cause pax headers."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=dialect) as tar:
        for number in range(MEMBERS):
            info = tarfile.TarInfo(f"usr/lib/python3/dist-packages/p{number % 100}/f{number}.py")
            info.mtime = (
                1_700_000_000 + number % 1000 + (0.5 if dialect == tarfile.PAX_FORMAT else 0)
            )
            info.size = number * 7919 % 1000
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return output.getvalue()


def by_tarkit(archive: bytes) -> int:
    """Count the members with tarkit."""
    return sum(1 for _ in TarReader(io.BytesIO(archive)))


def by_tarfile(archive: bytes) -> int:
    """Count the members with the standard library, also as a stream."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r|") as tar:
        return sum(1 for _ in tar)
