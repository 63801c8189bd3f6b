"""The measured image: this machine's /usr in three layers, in the format of Docker 20.10."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path

LAYERS = (  # source, and approximate size in bytes
    (("/usr/share",), 120_000_000),
    (("/usr/lib",), 160_000_000),
    (("/usr/include", "/usr/bin", "/usr/sbin"), 80_000_000),
)
LARGEST_FILE = 20_000_000


@dataclass(frozen=True, slots=True)
class Subject:
    """The archive, its number of files, and the size of its layers in bytes."""

    archive: Path
    files: int
    bytes: int


def build_subject(directory: Path, *, in_order: bool = True) -> Subject:
    """Write ``image.tar`` into *directory*.

    With *in_order*, layers are sorted by name like Docker's, each directory before its contents.
    Otherwise a directory's files come before its subdirectories.
    """
    layers, files = [], 0
    for number, (roots, limit) in enumerate(LAYERS):
        path = directory / f"layer-{number}.tar"
        files += write_layer(
            path, roots, limit, attrgetter("parts") if in_order else files_first_key
        )
        layers.append((path, sha256(path)))
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for _, digest in layers]},
            "history": [{"created_by": "bench"} for _ in layers],
        }
    ).encode()
    image_id = hashlib.sha256(config).hexdigest()
    manifest = json.dumps(
        [
            {
                "Config": f"{image_id}.json",
                "RepoTags": ["bench:latest"],
                "Layers": [f"{digest}/layer.tar" for _, digest in layers],
            }
        ]
    ).encode()
    with tarfile.open(directory / "image.tar", "w") as archive:
        for path, digest in layers:
            archive.add(path, arcname=f"{digest}/layer.tar")
        for name, data in ((f"{image_id}.json", config), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    size = sum(path.stat().st_size for path, _ in layers)
    for path, _ in layers:
        path.unlink()
    return Subject(directory / "image.tar", files, size)


def write_layer(
    path: Path, roots: tuple[str, ...], limit: int, key: Callable[[Path], tuple[str, ...]]
) -> int:
    """Fill a layer from *roots*, sorted by *key*, up to *limit* bytes; return the number of files.

    Their parent directories are included.
    """
    files, total = [], 0
    for file in chain.from_iterable(map(regular_files, roots)):
        files.append(file)
        total += file.lstat().st_size
        if total > limit:
            break
    directories = {parent for file in files for parent in file.parents[:-1]}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as layer:
        for entry in sorted([*directories, *files], key=key):
            layer.add(entry, recursive=False)
    return len(files)


def files_first_key(path: Path) -> tuple[str, ...]:
    """Return the sort key for the order of :func:`os.walk`."""
    is_directory = path.is_dir() and not path.is_symlink()
    return path.parts if is_directory else (*path.parts[:-1], "", path.name)


def regular_files(root: str) -> Iterator[Path]:
    """Return the files and links below *root*, sorted, except very large ones."""
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted(files):
            path = Path(directory, name)
            if path.lstat().st_size < LARGEST_FILE:
                yield path


def sha256(path: Path) -> str:
    """Return the digest of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
