"""Copy a layer larger than 4 GiB to every format in little memory. Needs no tool, but time and disk space."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from tarkit import inspect_image, open_source
from tests.hostile.running import MEASURED

LAYER_FILE_SIZE = (4 << 30) + 4096
ROOM_NEEDED = 20 << 30
MEMORY_LIMIT = 100 << 20
CHUNK = 1 << 20


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classic docker-archive with one layer, a file of zeros that takes no disk space."""
    directory = tmp_path_factory.mktemp("large")
    if shutil.disk_usage(directory).free < ROOM_NEEDED:
        pytest.skip(f"less than {ROOM_NEEDED >> 30} GiB free in {directory}")
    layer = sparse_layer()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest(layer)}"]},
            "history": [{"created_by": "zeros"}],
        }
    ).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["large:1"], "Layers": ["layer.tar"]}]
    path = directory / "large.tar"
    with path.open("wb") as file:
        member = tarfile.TarInfo("layer.tar")
        member.size = len(layer) + LAYER_FILE_SIZE + 2 * tarfile.BLOCKSIZE
        file.write(member.tobuf() + layer)
        file.seek(LAYER_FILE_SIZE + 2 * tarfile.BLOCKSIZE, os.SEEK_CUR)
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, data in (
                ("config.json", config),
                ("manifest.json", json.dumps(manifest).encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return path


def sparse_layer() -> bytes:
    """Return the header of the layer's only file; its zeros and the trailer follow."""
    member = tarfile.TarInfo("zeros")
    member.size = LAYER_FILE_SIZE
    return member.tobuf()


def layer_digest(head: bytes) -> str:
    hasher = hashlib.sha256(head)
    left = LAYER_FILE_SIZE + 2 * tarfile.BLOCKSIZE
    while left:
        hasher.update(bytes(min(left, CHUNK)))
        left -= min(left, CHUNK)
    return hasher.hexdigest()


def copy_in_little_memory(*arguments: str) -> None:
    """Run ``tarkit copy`` as a separate process and check its peak memory."""
    with tempfile.NamedTemporaryFile() as peak:
        command = [sys.executable, str(MEASURED), peak.name, "copy", "-q", *arguments]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        assert int(peak.read()) * 1024 < MEMORY_LIMIT


def test_a_large_layer_goes_through_every_format(large: Path, tmp_path: Path) -> None:
    trips = [
        (f"docker-archive:{large}", f"oci:{tmp_path / 'layout'}:gzip", "auto"),
        (f"oci:{tmp_path / 'layout'}:gzip", f"oci-archive:{tmp_path / 'zstd.tar'}:x", "zstd"),
        (f"oci-archive:{tmp_path / 'zstd.tar'}:x", f"dir:{tmp_path / 'dir'}", "preserve"),
        (f"dir:{tmp_path / 'dir'}", f"docker-archive:{tmp_path / 'dual.tar'}:large:2", "auto"),
        (f"docker-archive:{tmp_path / 'dual.tar'}", f"oci:{tmp_path / 'plain'}:x", "none"),
    ]
    with open_source(f"docker-archive:{large}") as image:
        expected = inspect_image(image)
    for source, destination, compression in trips:
        copy_in_little_memory(source, destination, "--compression", compression)
        with open_source(destination) as image:
            info = inspect_image(image)
        assert [layer.diff_id for layer in info.layers] == [x.diff_id for x in expected.layers]
    assert info.layers[0].descriptor.size == expected.layers[0].descriptor.size > 4 << 30


def test_a_large_layer_goes_into_a_classic_archive(large: Path, tmp_path: Path) -> None:
    destination = f"docker-archive:{tmp_path / 'classic.tar'}:large:3"
    copy_in_little_memory("--docker-format", "classic", f"docker-archive:{large}", destination)
    with open_source(f"docker-archive:{large}") as image, open_source(destination) as copied:
        assert image.manifest() == copied.manifest()
