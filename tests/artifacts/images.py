"""An image in every storage format."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zstandard

from tests.builders import Image, docker_archive, image_of, layout_of, squeeze, write_files
from tests.rootfs.layers import Item, directory, file, hard, link, pack

SECRET = b"do not tell: "

STACK: tuple[Sequence[Item], ...] = (
    [
        directory("etc"),
        file("etc/shadow", SECRET * 5_000),
        file("etc/kept", b"kept " * 3_000),
        directory("real"),
        file("real/hidden", SECRET * 9_000),
        link("way", "real"),
        file("old", SECRET),
        hard("second", "old"),
        directory("gone"),
        file("gone/a", SECRET * 700),
    ],
    [
        file("way/hidden", b"seen"),
        file("etc/.wh.shadow"),
        file(".wh.gone"),
        file("tmp/secret", SECRET * 4_000),
        file("large", bytes(range(256)) * 9_000),
    ],
    [
        directory("tmp"),
        file("tmp/.wh..wh..opq"),
        file("old", b"new"),
        file("tmp/new", b"n" * 5_000),
    ],
)
"""Layers that hide each other's files: by name, by whiteouts, and through a link."""


def zstd(data: bytes) -> bytes:
    """Compress *data* with zstd."""
    return zstandard.ZstdCompressor().compress(data)


def fast(data: bytes) -> bytes:
    """Compress *data* with gzip, to other bytes than :func:`~tests.builders.squeeze`."""
    return gzip.compress(data, compresslevel=1, mtime=7)


def image(layers: Sequence[Sequence[Item]] = STACK) -> Image:
    """Return an image of *layers*, bottom first."""
    return image_of([pack(layer) for layer in layers])


def layout(
    directory: Path, made: Image, pack: Callable[[bytes], bytes] | None = squeeze, **how: Any
) -> str:
    """Write *made* as a layout, its layers compressed by *pack*; return its location."""
    return f"oci:{write_files(directory, layout_of(made, pack=pack, **how))}"


def every_form(directory: Path, made: Image) -> dict[str, str]:
    """Write *made* in every form; return the locations by name."""
    plain = docker_archive(directory / "plain.tar", (made, ["app"]))
    packed = directory / "packed.tar.gz"
    packed.write_bytes(squeeze(plain.read_bytes()))
    whole = directory / "packed.tar.zst"
    whole.write_bytes(zstd(plain.read_bytes()))
    return {
        "oci, gzip": layout(directory / "gzip", made),
        "oci, other gzip": layout(directory / "fast", made, fast),
        "oci, zstd": layout(
            directory / "zstd",
            made,
            zstd,
            layer_type="application/vnd.oci.image.layer.v1.tar+zstd",
        ),
        "oci, plain": layout(directory / "layout", made, None),
        "docker schema 2": layout(directory / "docker", made, docker=True),
        "docker-archive": f"docker-archive:{plain}",
        "docker-archive, gzip": f"docker-archive:{packed}",
        "docker-archive, zstd": f"docker-archive:{whole}",
    }


def sparse_layer(name: str, size: int, pieces: dict[int, bytes]) -> bytes:
    """Return a layer of one sparse file, as written by GNU tar with ``--format=pax``."""
    table = "".join(f"{n}\n" for at, data in pieces.items() for n in (at, len(data)))
    head = f"{len(pieces)}\n{table}".encode()
    head += bytes(-len(head) % 512)
    stored = head + b"".join(pieces.values())
    keys = {"major": "1", "minor": "0", "name": name, "realsize": str(size)}
    item = file(
        f"GNUSparseFile.0/{name}", stored, pax={f"GNU.sparse.{k}": v for k, v in keys.items()}
    )
    return pack([item])
