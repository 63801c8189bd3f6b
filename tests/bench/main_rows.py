"""The main task: converting formats, compared with skopeo."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from tarkit.image.media_types import Compression
from tests.bench.measure import Side
from tests.bench.subject import Subject
from tests.bench.table import SKOPEO, TARKIT, Row, remover


def rows(subject: Subject, work: Path) -> Iterator[Row]:
    """Return the rows of the main table. skopeo creates a row's inputs just before the row."""
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
    unpack = ("copy", "-q", "--compression", "none")
    subprocess.run([*TARKIT, *unpack, source, f"oci-archive:{archive}:x"], check=True)
    yield Row(
        "inspect an oci-archive, its layers uncompressed",
        Side((*TARKIT, "inspect", f"oci-archive:{archive}")),
        Side((*SKOPEO, "inspect", f"oci-archive:{archive}")),
        0.50,
    )
