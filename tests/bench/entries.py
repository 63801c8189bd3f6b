"""Memory and time of commands on images of very many files: ``python -m tests.bench.entries DIR``.

Writes two plain docker-archives into DIR, unless they exist: *short* has 500,000 files with short
names, *real* has 591,000 entries with names as in ``/usr``. Every tenth file has a few bytes.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tarkit.tar.member import Member, MemberType
from tarkit.tar.writer import TarWriter
from tests.bench.measure import Side, median
from tests.bench.table import TARKIT
from tests.builders import docker_archive, image_of

RUNS = int(os.environ.get("TARKIT_BENCH_PAIRS", "3"))
FILES = 500_000
_WORDS = [
    "python3",
    "share",
    "locale",
    "messages",
    "dist",
    "packages",
    "include",
    "linux",
    "modules",
    "kernel",
    "doc",
    "examples",
    "changelog",
    "copyright",
    "test",
    "module",
    "core",
    "util",
    "config",
    "driver",
    "net",
    "server",
    "client",
    "common",
    "base",
    "data",
]
_SUFFIXES = (".py", ".h", ".so.1.2.3", ".gz", ".mo", ".html", ".txt", ".cpython-311.pyc", "")
_TIME = 1_700_000_000


def short_names() -> Iterator[bytes]:
    """Yield directories, whose names end with a slash, and files."""
    yield from (b"usr/", b"usr/share/")
    for directory in range(FILES // 100):
        yield b"usr/share/d%04d/" % directory
        for file in range(100):
            yield b"usr/share/d%04d/file%03d" % (directory, file)


def real_names() -> Iterator[bytes]:
    """Yield names of the depth, length and number per directory that ``/usr`` has."""
    choice = random.Random(1)
    directories, made = [b"usr/"], {b"usr/"}
    yield b"usr/"
    left = 591_000 - 1
    while left:
        parent = directories[min(int(choice.expovariate(1 / 4000)), len(directories) - 1)]
        name = "-".join(choice.choices(_WORDS, k=choice.randint(1, 2))) + str(choice.randrange(99))
        directory = parent + name.encode() + b"/"
        if directory in made or directory.count(b"/") > 9:
            continue
        made.add(directory)
        directories.insert(choice.randrange(len(directories)), directory)
        yield directory
        files = min(left - 1, int(choice.expovariate(1 / 8)))
        for number in range(files):
            words = "_".join(choice.choices(_WORDS, k=choice.randint(1, 3)))
            yield directory + f"{words}-{number}{choice.choice(_SUFFIXES)}".encode()
        left -= files + 1


def write_layer(path: Path, names: Iterator[bytes]) -> None:
    """Write a layer of *names*; every tenth file has content."""
    with path.open("wb") as file, TarWriter(file) as tar:
        for number, name in enumerate(names):
            if name.endswith(b"/"):
                tar.add(Member(name, MemberType.DIRECTORY, 0o755, mtime_ns=_TIME * 10**9))
                continue
            data = b"%d\n" % number if number % 10 == 0 else b""
            mtime_ns = (_TIME + number // 100) * 10**9
            tar.add(Member(name, size=len(data), mtime_ns=mtime_ns), data)


def archive_of(directory: Path, name: str, names: Iterator[bytes]) -> Path:
    """Return the archive of the data set *name*, written on first use."""
    path = directory / f"{name}.tar"
    if not path.exists():
        layer = directory / f"{name}.layer"
        write_layer(layer, names)
        docker_archive(path, (image_of([layer.read_bytes()]), ["many:1"]))
        layer.unlink()
    return path


def written_apart(work: Path, name: str) -> Path:
    """Write the archive in another process: the memory of this one counts for its children."""
    command = [sys.executable, "-m", __spec__.name, str(work), name]
    subprocess.run(command, check=True)
    return work / f"{name}.tar"


def sides(archive: Path, work: Path) -> Iterator[tuple[str, Side]]:
    """Yield the commands to measure."""
    source, tar, image = f"docker-archive:{archive}", work / "out.tar", work / "out.ext4"
    yield "ls", Side((*TARKIT, "ls", source))
    yield "rootfs", Side((*TARKIT, "rootfs", "-q", source, tar), tar, lambda: tar.unlink(True))
    yield "ext4", Side((*TARKIT, "ext4", "-q", source, image), image, lambda: image.unlink(True))


def digest_of(path: Path | None) -> str:
    """Return the first digits of the digest of an output."""
    if path is None:
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def entries_section(work: Path) -> str:
    """Return the section of the page."""
    lines = [HEADING]
    for name in DATA_SETS:
        archive = written_apart(work, name)
        for command, side in sides(archive, work):
            cost = median([side.run() for _ in range(RUNS)])
            before, target = HISTORY[command, name]
            figures = f"{before} MiB | {cost.memory >> 20} MiB | ≤ {target} MiB"
            lines.append(
                f"| {command}, {name} names | {figures} | {cost.wall:.2f} s | {cost.cpu:.2f} s |"
                f" {digest_of(side.output)} |"
            )
    return "## Many files\n\n" + "\n".join(lines) + "\n"


HEADING = """\
| command | entries as objects | peak memory | target | wall | CPU | output |
|---|---|---|---|---|---|---|"""
# peak memory in MiB when each entry was an object (decision 18), and its target
HISTORY = {
    ("ls", "short"): (434, 130),
    ("ls", "real"): (599, 200),
    ("rootfs", "short"): (471, 170),
    ("rootfs", "real"): (701, 240),
    ("ext4", "short"): (569, 210),
    ("ext4", "real"): (809, 290),
}
DATA_SETS: dict[str, Callable[[], Iterator[bytes]]] = {"short": short_names, "real": real_names}

if __name__ == "__main__":
    if len(sys.argv) > 2:
        archive_of(Path(sys.argv[1]), sys.argv[2], DATA_SETS[sys.argv[2]]())
    else:
        print(entries_section(Path(sys.argv[1])))
