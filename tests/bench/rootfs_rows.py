"""Writing directories, tars and ext4 images, compared with umoci, tar and mkfs."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Side
from tests.bench.reading import FILES
from tests.bench.subject import Subject, build_subject
from tests.bench.table import SKOPEO, TARKIT, Row, put_aside, remover
from tests.builders import docker_archive, image_of

MEMORY_TARGET = 150 << 20
ENTRIES = 50_000


def rootfs_rows(subject: Subject, work: Path) -> Iterator[Row]:
    """Return the rows. The other tools need root, and disk space to unpack."""
    bundle = work / "bundle"
    archive = f"docker-archive:{subject.archive}"
    layout = layout_of(archive, work / "layers")
    ours, theirs = work / "files", work / "their-files"
    rootfs = shlex.quote(str(bundle / "rootfs"))

    def row(
        title: str, command: str, to: Path, then: str, target: float, source: str = layout
    ) -> Row:
        unpack = f"umoci unpack --image {source} {bundle}"
        return Row(
            title,
            Side((*TARKIT, command, "-q", f"oci:{source}", to), to, put_aside(to)),
            Side(("sh", "-c", unpack + then), theirs, put_aside(bundle, theirs)),
            target,
            memory_target=MEMORY_TARGET,
        )

    yield row(
        "image → ext4, beside `umoci unpack` and `mkfs.ext4 -d`",
        "ext4",
        ours,
        f" && mkfs.ext4 -q -F -d {rootfs} {theirs} 800M",
        0.25,
    )
    yield row("image → directory, beside `umoci unpack`", "rootfs", ours, "", 0.45)
    tar, then = ours.with_suffix(".tar"), f" && tar -C {rootfs} -cf {theirs} ."
    yield row("image → tar, beside `umoci unpack` and `tar`", "rootfs", tar, then, 0.25)
    (work / "unordered").mkdir()
    unordered = build_subject(work / "unordered", in_order=False)
    yield row(
        "the same, its layers in another order than that of names",
        "rootfs",
        tar,
        then,
        0.35,
        layout_of(f"docker-archive:{unordered.archive}", work / "unordered-layers"),
    )
    yield ls_row(archive, work)
    yield reading_row(f"oci:{layout}")
    yield directory_row(work)


def layout_of(archive: str, path: Path) -> str:
    """Convert *archive* with skopeo to an OCI layout at *path*; return the location of its image."""
    subprocess.run([*SKOPEO, "copy", "-q", archive, f"oci:{path}:x"], check=True)
    return f"{path}:x"


def ls_row(archive: str, work: Path) -> Row:
    """Return the row for listing all files; the other tool must unpack the archive first."""
    parts = work / "parts"
    listing = f"skopeo --insecure-policy copy -q {archive} dir:{parts}"
    listing += f" && for layer in {parts}/*; do tar tf $layer 2>/dev/null || :; done"
    return Row(
        "`ls` of a plain docker-archive, beside `skopeo copy` and `tar t`",
        Side((*TARKIT, "ls", archive)),
        Side(("sh", "-c", listing), prepare=remover(parts)),
        0.3,
        memory_target=MEMORY_TARGET,
    )


def reading_row(location: str) -> Row:
    """Return the row for reading files in any order; the peer reads the same ones in order."""
    read = (sys.executable, "-m", "tests.bench.reading", location)
    return Row(
        f"{FILES} files of compressed layers in any order, beside the order of a walk",
        Side((*read, "shuffled")),
        Side((*read, "walk")),
        3.0,
        memory_target=MEMORY_TARGET,
    )


def directory_row(work: Path) -> Row:
    """Return the row for one directory of very many files, which takes mkfs minutes."""
    layer = io.BytesIO()
    tree, ours, theirs = work / "many", work / "ours.ext4", work / "theirs.ext4"
    (tree / "many").mkdir(parents=True)
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for number in range(ENTRIES):
            tar.addfile(tarfile.TarInfo(f"many/file-{number}"))
            (tree / "many" / f"file-{number}").touch()
    image = docker_archive(work / "many.tar", (image_of([layer.getvalue()]), ["many:1"]))
    return Row(
        f"a directory of {ENTRIES:,} entries → ext4, beside `mkfs.ext4 -d`",
        Side((*TARKIT, "ext4", "-q", f"docker-archive:{image}", ours), ours, remover(ours)),
        Side(
            ("mkfs.ext4", "-q", "-F", "-N", str(2 * ENTRIES), "-d", tree, theirs, "800M"),
            theirs,
            remover(theirs),
        ),
        0.02,
        memory_target=MEMORY_TARGET,
        pairs=1,
    )
