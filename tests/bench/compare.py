"""``tox -e bench``: tarkit and its peers as whole processes, in turn, on one image; writes docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tarkit.image.media_types import Compression
from tests.bench.limits import copy_limit
from tests.bench.measure import Comparison, Side, compare
from tests.bench.subject import Subject, build_subject

PAIRS = int(os.environ.get("TARKIT_BENCH_PAIRS", "5"))
REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TARKIT = (sys.executable, "-m", "tarkit")
SKOPEO = ("skopeo", "--insecure-policy")
MEMORY_TARGET = 100 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: the work, both sides, and what the ratios are to stay below."""

    work: str
    ours: Side
    theirs: Side
    wall_target: float
    size_target: float | None = None
    codec: Compression | None = None
    memory_target: int = MEMORY_TARGET
    pairs: int = PAIRS


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a row; ``limit`` is the share of the wall time that raw hashing and packing need."""

    row: Row
    comparison: Comparison
    limit: float | None

    @property
    def holds(self) -> bool:
        """Whether every target is met."""
        size = self.comparison.size_ratio
        return (
            self.comparison.wall_ratio <= self.row.wall_target
            and self.comparison.ours.memory <= self.row.memory_target
            and (self.row.size_target is None or (size or 0) <= self.row.size_target)
        )


def remover(*paths: Path) -> Callable[[], None]:
    """Removes *paths*, for a run that is to begin from nothing."""

    def remove() -> None:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    return remove


def rows(subject: Subject, work: Path) -> Iterator[Row]:
    """The table of the main job. Inputs that a row needs are made by skopeo, as the row is reached."""
    image = f"docker-archive:{subject.archive}"
    ours, theirs = work / "ours", work / "theirs"
    clean_ours, clean_theirs = remover(ours), remover(theirs)

    def pair(
        title: str, mine: tuple[str, ...], other: tuple[str, ...], target: float, **more: object
    ) -> Row:
        return Row(
            title,
            Side((*TARKIT, "copy", "-q", *mine), ours, clean_ours),
            Side((*SKOPEO, "copy", "-q", *other), theirs, clean_theirs),
            target,
            **more,  # type: ignore[arg-type]
        )

    to_oci = (image, f"oci:{ours}:x"), (image, f"oci:{theirs}:x")
    yield pair(
        "docker-archive → oci, gzip", *to_oci, 0.40, size_target=1.06, codec=Compression.GZIP
    )
    zstd = ("--dest-compress", "--dest-compress-format", "zstd")
    yield pair(
        "docker-archive → oci, zstd",
        ("--compression", "zstd", *to_oci[0]),
        (*zstd, *to_oci[1]),
        0.60,
        size_target=1.05,
        codec=Compression.ZSTD,
    )
    layout = work / "layout"
    subprocess.run([*SKOPEO, "copy", "-q", image, f"oci:{layout}:x"], check=True)
    source = f"oci:{layout}:x"
    to_docker = (source, f"docker-archive:{ours}:b:1"), (source, f"docker-archive:{theirs}:b:1")
    yield pair("oci (gzip) → docker-archive, default", *to_docker, 0.20)
    yield pair(
        "oci (gzip) → docker-archive, `--compression none`",
        ("--compression", "none", *to_docker[0]),
        to_docker[1],
        0.35,
    )
    yield pair("oci → oci", (source, f"oci:{ours}:x"), (source, f"oci:{theirs}:x"), 0.60)
    clean_ours(), clean_theirs()
    yield Row(
        "docker-archive → oci, second time",
        Side((*TARKIT, "copy", "-q", *to_oci[0]), ours),
        Side((*SKOPEO, "copy", "-q", *to_oci[1]), theirs),
        0.10,
    )
    packed = work / "image.tar.gz"
    with packed.open("wb") as file:
        subprocess.run(["gzip", "-6", "-c", subject.archive], stdout=file, check=True)
    plain = work / "plain.tar"
    by_hand = f"gzip -dc {packed} >{plain} && skopeo inspect docker-archive:{plain}"
    yield Row(
        "inspect a gzip-compressed docker-archive [^gzip]",
        Side((*TARKIT, "inspect", f"docker-archive:{packed}")),
        Side(("sh", "-c", by_hand), prepare=remover(plain)),
        0.50,
    )
    archive = work / "oci-archive.tar"
    subprocess.run([*SKOPEO, "copy", "-q", source, f"oci-archive:{archive}:x"], check=True)
    yield Row(
        "inspect an oci-archive",
        Side((*TARKIT, "inspect", f"oci-archive:{archive}")),
        Side((*SKOPEO, "inspect", f"oci-archive:{archive}")),
        0.50,
    )


def startup_rows() -> Iterator[Row]:
    """What starting costs, over a bare interpreter."""
    bare = Side((sys.executable, "-c", "pass"))
    yield Row("`tarkit --version` / bare interpreter", Side((*TARKIT, "--version")), bare, 3.0)


def measure(row: Row, subject: Subject) -> Result:
    """Measure one row, and how near it is to what the libraries allow."""
    print(f"{row.work} …", file=sys.stderr, flush=True)
    comparison = compare(row.ours, row.theirs, pairs=row.pairs)
    limit = None
    if row.codec:
        least = copy_limit(subject.archive, subject.bytes, comparison.our_bytes, row.codec)
        limit = least / comparison.ours.wall
    return Result(row, comparison, limit)


def line(result: Result) -> str:
    """A line of the table."""
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


def report(subject: Subject, results: list[Result]) -> str:
    """The page: what was measured on what, and the table."""
    skopeo = subprocess.run(["skopeo", "--version"], capture_output=True, text=True, check=True)
    body = "\n".join(map(line, results))
    return f"""\
# Benchmarks

Written by `tox -e bench`: whole processes, run in turn, {PAIRS} pairs each after one that does not count, medians.
The image is a classic docker-archive of {subject.bytes / 1e6:.0f} MB in three layers with {subject.files:,} files from
`/usr`. Peer: {skopeo.stdout.strip()}, and the bare interpreter where the row says so. Machine:
{os.cpu_count()} cores of {processor()}, Python {platform.python_version()}.

{HEADING}
{body}

*Of the limit* is the time that hashing and packing alone would take in the raw libraries, spread over all
processors, as a share of the wall time measured. *Bytes* compares the outputs' sizes. A row holds when the wall
ratio, the size and a peak memory of at most {MEMORY_TARGET >> 20} MiB do, 150 MiB where files are taken out.

[^gzip]: skopeo 1.9.3 ends with "invalid tar header" on any gzip-compressed docker-archive, so the peer does by
    hand what later versions do themselves: `gzip -d` into a temporary file, and `skopeo inspect` of that.

[^crowd]: One pair only, since mkfs.ext4 takes minutes; it leaves the directory without an index.
"""


def processor() -> str:
    """What the processor calls itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [text.partition(":")[2].strip() for text in lines if text.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> int:
    """Measure everything and write the page; 1 where a row does not hold."""
    from tests.bench import rootfs_rows  # which takes the rows' form from here

    with tempfile.TemporaryDirectory(prefix="tarkit-bench-") as directory:
        work = Path(directory)
        subject = build_subject(work)
        results = [measure(row, subject) for row in rows(subject, work)]
        results += [measure(row, subject) for row in rootfs_rows.rows(subject, work)]
        results += [measure(row, subject) for row in startup_rows()]
    page = report(subject, results)
    REPORT.write_text(page, encoding="utf-8")
    print(page)
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
