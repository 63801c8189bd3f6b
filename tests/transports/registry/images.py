"""Large images for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path


def big_image(directory: Path, size: int, *, layers: int = 1) -> str:
    """A layout of *layers* incompressible layers, of *size* bytes together."""
    store = directory / "blobs" / "sha256"
    store.mkdir(parents=True)

    def put(data: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (store / digest).write_bytes(data)
        media_type = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    diff_ids, parts = [], []
    for number in range(layers):
        layer = incompressible(f"data-{number}", size // layers)
        diff_ids.append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        parts.append(put(gzip.compress(layer, 0, mtime=0), "layer.v1.tar+gzip"))
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = {"os": "linux", "architecture": "amd64", "config": {}, "rootfs": rootfs}
    described = put(json.dumps(config).encode(), "config.v1+json")
    manifest = {"schemaVersion": 2, "config": described, "layers": parts}
    entry = put(json.dumps(manifest).encode(), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return f"oci:{directory}"


def incompressible(name: str, size: int) -> bytes:
    """A tar with one file of noise."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = size
        tar.addfile(member, io.BytesIO(os.urandom(size)))
    return archive.getvalue()
