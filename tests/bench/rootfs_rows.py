"""Images taken apart, beside umoci, mkfs.ext4, skopeo and tar; by itself it prints the table of that."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.compare import HEADING, SKOPEO, TARKIT, Row, line, measure, remover
from tests.bench.measure import Side
from tests.bench.subject import Subject, build_subject
from tests.builders import image_of, layout_of, write_files
from tests.rootfs.layers import directory, file, pack

MEMORY_TARGET = 150 << 20
CROWD = 50_000
SCRATCH = "1500M"  # what mkfs is given; the image stays sparse


def rows(subject: Subject, work: Path) -> Iterator[Row]:
    """The table: gzip layers in a layout to files of every kind, and listings of a plain archive."""
    layout, ours, theirs = work / "packed", work / "ours", work / "theirs"
    bundle, mine = work / "bundle", work / "mine"
    archive = f"docker-archive:{subject.archive}"
    subprocess.run([*SKOPEO, "copy", "-q", archive, f"oci:{layout}:x"], check=True)
    source = f"oci:{layout}:x"
    unpack = f"umoci unpack --image {layout}:x {bundle}"
    clean = remover(bundle, theirs)

    def row(work: str, command: tuple[str, ...], output: Path, peer: str, target: float) -> Row:
        mine = Side((*TARKIT, *command, "-q", source, str(output)), output, remover(output))
        return Row(work, mine, shell(peer, clean), target, memory_target=MEMORY_TARGET)

    mkfs = f"mkfs.ext4 -q -F -d {bundle}/rootfs {theirs} {SCRATCH}"
    yield row("image (gzip) → ext4", ("ext4",), ours, f"{unpack} && {mkfs}", 0.25)
    yield row("image (gzip) → directory", ("rootfs",), mine, unpack, 0.45)
    tar = f"tar -C {bundle}/rootfs -cf {theirs} ."
    yield row("image (gzip) → tar", ("rootfs",), work / "ours.tar", f"{unpack} && {tar}", 0.25)
    listing = f"{' '.join(SKOPEO)} copy -q {archive} dir:{theirs}"
    listing += f" && for blob in {theirs}/*; do tar -tf $blob || true; done"
    yield Row(
        "`ls` of a plain docker-archive",
        Side((*TARKIT, "ls", archive)),
        shell(listing, clean),
        0.30,
        memory_target=MEMORY_TARGET,
    )
    yield crowd_row(work, ours, theirs)


def crowd_row(work: Path, ours: Path, theirs: Path) -> Row:
    """One directory of very many files, where mkfs.ext4 takes minutes."""
    layout, crowd = work / "crowd.layout", work / "crowd"
    names = [f"d/{number:020}" for number in range(CROWD)]
    layer = pack([directory("d"), *(file(name) for name in names)])
    write_files(layout, layout_of(image_of([layer])))
    (crowd / "d").mkdir(parents=True)
    for name in names:
        (crowd / name).touch()
    return Row(
        f"{CROWD:,} files in one directory → ext4 [^crowd]",
        Side((*TARKIT, "ext4", "-q", f"oci:{layout}", str(ours)), ours, remover(ours)),
        shell(f"mkfs.ext4 -q -F -N {2 * CROWD} -d {crowd} {theirs} {SCRATCH}", remover(theirs)),
        0.02,
        memory_target=MEMORY_TARGET,
        pairs=1,
    )


def shell(script: str, prepare: Callable[[], None]) -> Side:
    """What several programs do one after the other."""
    return Side(("sh", "-c", f"{{ {script}; }} >/dev/null"), prepare=prepare)


def main() -> int:
    """Measure every row and print the table; 1 where a row does not hold."""
    with tempfile.TemporaryDirectory(prefix="tarkit-bench-") as name:
        work = Path(name)
        subject = build_subject(work)
        results = [measure(row, subject) for row in rows(subject, work)]
    print(HEADING, *map(line, results), sep="\n")
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
