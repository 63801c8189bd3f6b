"""Pulling and pushing, compared with skopeo, with Debian's registry on the loopback interface."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.measure import Side
from tests.bench.table import SKOPEO, TARKIT, Row, remover
from tests.conformance.registries import Registry
from tests.transports.registry.images import big_image

SIZE = 330 << 20
LAYERS = 6
SKOPEO_MEMORY = Path("/var/lib/containers/cache")  # skopeo's cache of blob locations, for root


def registry_rows(registry: Registry, work: Path) -> Iterator[Row]:
    """Return the rows: each task with tarkit and with skopeo, on the same registry."""
    # memory of this process would also count for the measured ones
    with ProcessPoolExecutor(1) as other:
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
