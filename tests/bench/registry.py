"""Pulling and pushing beside skopeo, against Debian's registry on the loopback interface; prints a table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.compare import HEADING, SKOPEO, TARKIT, Result, Row, line, remover
from tests.bench.measure import Side, compare
from tests.conformance.registries import Registry, running
from tests.transports.registry.images import big_image

PAIRS = int(os.environ.get("TARKIT_BENCH_PAIRS", "5"))
SIZE = 330 << 20
LAYERS = 6
SKOPEO_MEMORY = Path("/var/lib/containers/cache")  # what skopeo, as root, knows of what is where


def rows(registry: Registry, work: Path) -> Iterator[Row]:
    """The table: each job with tarkit and with skopeo, on the same registry."""
    with ProcessPoolExecutor(1) as other:  # a process that has held it all would count as ours
        layout = other.submit(big_image, work / "image", SIZE, layers=LAYERS).result()
    source, name = f"{layout}:x", f"docker://{registry.address}/bench/app:v1"
    ours, theirs = work / "ours", work / "theirs"
    everything = remover(registry.log.parent / "data", SKOPEO_MEMORY)
    push = Side((*TARKIT, "copy", "-q", source, name), prepare=everything)
    their_push = Side(
        (*SKOPEO, "copy", "-q", "--dest-tls-verify=false", source, name), prepare=everything
    )
    yield Row("push from oci", push, their_push, 0.80)
    yield Row("push again", Side(push.command), Side(their_push.command), 0.50)
    yield Row(
        "pull to oci",
        Side((*TARKIT, "copy", "-q", name, f"oci:{ours}:x"), ours, remover(ours)),
        Side(
            (*SKOPEO, "copy", "-q", "--src-tls-verify=false", name, f"oci:{theirs}:x"),
            theirs,
            remover(theirs),
        ),
        0.80,
    )
    archive = work / "image.tar"
    shutil.rmtree(ours, ignore_errors=True)
    subprocess.run([*SKOPEO, "copy", "-q", source, f"docker-archive:{archive}:b:1"], check=True)
    packed = f"docker://{registry.address}/bench/packed:v1"
    forget = remover(SKOPEO_MEMORY)
    yield Row(
        "push a docker-archive again, with nothing remembered here",
        Side((*TARKIT, "copy", "-q", f"docker-archive:{archive}", packed), prepare=forget),
        Side(
            (*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"docker-archive:{archive}", packed),
            prepare=forget,
        ),
        0.50,
    )


def main() -> int:
    """Measure every row and print the table; 1 where a row does not hold."""
    with tempfile.TemporaryDirectory(prefix="tarkit-bench-") as directory, running() as registry:
        results = []
        for row in rows(registry, Path(directory)):
            print(f"{row.work} …", file=sys.stderr, flush=True)
            results.append(Result(row, compare(row.ours, row.theirs, pairs=PAIRS), None))
    print(HEADING, *map(line, results), sep="\n")
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
