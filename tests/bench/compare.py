"""``tox -e bench``: run tarkit and other tools alternately on one image, and write docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.bench.build_rows import build_rows
from tests.bench.entries import entries_section
from tests.bench.headers import headers_section
from tests.bench.main_rows import rows
from tests.bench.many_rows import many_rows
from tests.bench.registry_rows import registry_rows
from tests.bench.rootfs_rows import rootfs_rows
from tests.bench.startup import startup_section
from tests.bench.subject import Subject, build_subject
from tests.bench.table import HEADING, PAIRS, Result, Row, line, measure
from tests.conformance.registries import running
from tests.conformance.tools import running_dockerd

REPORT = Path(__file__).parents[2] / "docs" / "benchmarks.md"
VERSIONS = (("skopeo", "--version"), ("umoci", "--version"), ("mkfs.ext4", "-V"))


def section(title: str, rows: Iterable[Row], subject: Subject) -> tuple[str, list[Result]]:
    """Measure *rows* one after the other; return the table under its title, and the results."""
    results = [measure(row, subject) for row in rows]
    return f"## {title}\n\n{HEADING}\n" + "\n".join(map(line, results)) + "\n", results


def report(subject: Subject, sections: list[str]) -> str:
    """Return the page: the environment and the tables."""
    body = "\n".join(sections)
    return f"""\
# Benchmarks

Written by `tox -e bench`: whole processes, run in turn, {PAIRS} pairs each after one that does not count, medians.
The image is a classic docker-archive of {subject.bytes / 1e6:.0f} MB in three layers with {subject.files:,} files from
`/usr` and their directories, in the order in which image builders walk them: by name. Peers: {", ".join(map(version, VERSIONS))}.
Machine: {os.cpu_count()} cores of {processor()}, Python {platform.python_version()}.

{body}
*Of the limit* is the time that hashing and packing alone would take in the raw libraries, spread over all
processors, as a share of the wall time measured. *Bytes* compares the outputs' sizes. A row holds when the wall
ratio, the size and the peak memory do: 100 MiB, or 150 for root filesystems. Headers are read in one process, in
turn with the standard library's `tarfile`.

Many files: plain docker-archives with 500,000 files of short names in 5,000 directories, or 591,000 entries with names
as in `/usr`; the last column is the start of the output's SHA-256.

Builds: the peer is dockerd's BuildKit with overlay2, given the same definitions by tarkit's client.

Starting is the difference between the best runs of a command and of a bare interpreter, in turn, on an image of a few
KiB. Importing typer is part of every command but `--version`.

Trees that were unpacked stay until the end: ext4 looks at every inode deleted in the last minutes before it takes
another, so a tree made where one was just removed would measure that.

[^gzip]: skopeo 1.9.3 ends with "invalid tar header" on any gzip-compressed docker-archive, so the peer does by
    hand what later versions do themselves: `gzip -d` into a temporary file, and `skopeo inspect` of that.
"""


def version(command: tuple[str, ...]) -> str:
    """Return the version of a tool: the first line of its output."""
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return (answer.stdout + answer.stderr).strip().splitlines()[0]


def processor() -> str:
    """Return the name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [text.partition(":")[2].strip() for text in lines if text.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> int:
    """Measure everything, updating the page after each part; return 1 if a row misses its target."""
    with (
        tempfile.TemporaryDirectory(prefix="tarkit-bench-") as directory,
        running() as registry,
        running_dockerd(storage="overlay2") as docker,
    ):
        subject = build_subject(Path(directory))
        names = ("formats", "files", "registries", "many", "starting", "entries", "builds")
        places = [Path(directory, name) for name in names]
        for place in places:
            place.mkdir()
        parts = {
            "One format into another": rows(subject, places[0]),
            "Registries": registry_rows(registry, places[2]),
            "Many images": many_rows(registry, places[3]),
            "Root filesystems": rootfs_rows(subject, places[1]),
            "Builds": build_rows(docker, places[6]),
        }
        start, starts = startup_section(places[4])
        texts, results = [start], []
        for title, part in parts.items():
            text, measured = section(title, part, subject)
            texts.append(text)
            results += measured
            REPORT.write_text(report(subject, texts), encoding="utf-8")
        texts.append(entries_section(places[5]))
    # last, because memory of this process would also count for its children
    last, headers = headers_section()
    page = report(subject, [*texts, last])
    REPORT.write_text(page, encoding="utf-8")
    print(page)
    held = [each.holds for part in (results, starts, headers) for each in part]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
