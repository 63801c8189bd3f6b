"""Many images at once, compared with one skopeo per image, a second skopeo sync, and cp."""

from __future__ import annotations

import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.bench.measure import Side
from tests.bench.table import SKOPEO, TARKIT, Row, remover
from tests.conformance.registries import Registry

COUNT = 10
BASE = 280 << 20  # bytes of the layer that all images share
OWN = 20 << 20  # bytes of each image's own layer
SMALL = 1 << 20
BIG = 1 << 30
_BLOCK = 1 << 20


def many_rows(registry: Registry, work: Path) -> Iterator[Row]:
    """Return the rows; each creates its inputs just before it runs."""
    # memory of this process would also count for the measured ones
    with ProcessPoolExecutor(1) as other:
        archive, small, big = other.submit(inputs, work).result()
    names = [f"bench/many{number}:1" for number in range(COUNT)]
    ours, theirs = work / "ours", work / "theirs"
    one_by_one = [
        (*SKOPEO, "copy", "-q", f"docker-archive:{archive}:{name}", f"oci:{theirs}:{name}")
        for name in names
    ]
    yield Row(
        f"{COUNT} images with a common base, docker-archive → oci, in one call",
        Side(
            (*TARKIT, "copy", "-q", "--all-images", f"docker-archive:{archive}", f"oci:{ours}"),
            ours,
            remover(ours),
        ),
        Side(("sh", "-c", " && ".join(map(" ".join, one_by_one))), theirs, remover(theirs)),
        0.35,
    )
    yield _second_sync(registry, work, archive, names)
    replaced, copy = work / "replaced.tar", work / "copy.tar"
    shutil.copyfile(big, replaced)
    yield Row(
        "add a 1 MB image to an oci-archive of 1 GB, beside `cp`, `sync` and `mv` over the archive",
        Side((*TARKIT, "copy", "-q", f"{small}:small:1", f"oci-archive:{big}:small"), big),
        # mv, because freeing the replaced file's blocks takes time, too
        Side(
            ("sh", "-c", f"cp {replaced} {copy} && sync {copy} && mv {copy} {replaced}"), replaced
        ),
        1.20,
    )


def _second_sync(registry: Registry, work: Path, archive: Path, names: list[str]) -> Row:
    """Return the row of a sync that changes nothing."""
    subprocess.run(
        [*TARKIT, "copy", "-q", "--all-images", f"docker-archive:{archive}",
         f"docker://{registry.address}/bench/"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    images = {name.partition(":")[0]: ["1"] for name in names}
    sources = work / "list.yaml"
    sources.write_text(json.dumps({registry.address: {"images": images, "tls-verify": False}}))
    ours, theirs = work / "synced", work / "their-synced"
    sync = Side((*TARKIT, "sync", "-q", sources, f"oci:{ours}"))
    # skopeo does not update a directory, so it starts over in an empty one
    again = remover(theirs)
    their_sync = Side(
        (*SKOPEO, "sync", "--src", "yaml", "--dest", "dir", sources, theirs), prepare=again
    )
    for side in (sync, their_sync):
        side.run()
    return Row(
        f"sync {COUNT} images from a registry to files again, nothing changed",
        sync,
        their_sync,
        0.10,
    )


def inputs(work: Path) -> tuple[Path, str, Path]:
    """Create the archive of many images, a small image, and a big archive."""
    archive = work / "many.tar"
    with tarfile.open(archive, "w") as output:
        base = _add_layer(output, BASE, 0)
        items = [
            _add_image(output, f"bench/many{at}:1", [base, _add_layer(output, OWN, at + 1)])
            for at in range(COUNT)
        ]
        _add(output, "manifest.json", json.dumps(items).encode())
    for name, size in (("small", SMALL), ("big", BIG)):
        path = work / f"{name}.tar"
        with tarfile.open(path, "w") as output:
            item = _add_image(output, f"{name}:1", [_add_layer(output, size, size)])
            _add(output, "manifest.json", json.dumps([item]).encode())
    subprocess.run(
        [*TARKIT, "copy", "-q", "--compression", "none", f"docker-archive:{work / 'big.tar'}",
         f"oci-archive:{work / 'big-oci.tar'}:big"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    (work / "big.tar").unlink()
    return archive, f"docker-archive:{work / 'small.tar'}", work / "big-oci.tar"


def _add_image(output: tarfile.TarFile, name: str, layers: list[str]) -> dict[str, object]:
    diff_ids = [f"sha256:{layer}" for layer in layers]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    path = f"{hashlib.sha256(config).hexdigest()}.json"
    _add(output, path, config)
    return {
        "Config": path,
        "RepoTags": [name],
        "Layers": [f"{layer}/layer.tar" for layer in layers],
    }


def _add_layer(output: tarfile.TarFile, size: int, seed: int) -> str:
    """Add a layer with one file, half of which compresses; return the hexadecimal digest."""
    content = io.BytesIO()
    noise = random.Random(seed)
    with tarfile.open(fileobj=content, mode="w") as layer:
        member = tarfile.TarInfo(f"file{seed}")
        half = _BLOCK // 2
        blocks = [noise.randbytes(half) + b"text " * (half // 5) for _ in range(size // _BLOCK)]
        data = b"".join(blocks)
        member.size = len(data)
        layer.addfile(member, io.BytesIO(data))
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    _add(output, f"{digest}/layer.tar", content.getvalue())
    return digest


def _add(output: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    output.addfile(member, io.BytesIO(data))
