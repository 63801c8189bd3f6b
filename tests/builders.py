"""Small test images, built with only the standard library to check tarkit independently."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.image.digest import Digest
from tarkit.image.media_types import (
    DOCKER_CONFIG,
    DOCKER_LAYER_GZIP,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
)
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import Location, open_source, open_writer

Doc = dict[str, Any]
Files = dict[str, bytes]

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
HEALTHCHECK = {"Test": ["CMD", "true"], "Interval": 30_000_000_000}


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic or hard link to *target* in a tar."""

    target: str
    hard: bool = False


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_of(data: bytes) -> Digest:
    return Digest.of(data)


def dump(document: object) -> bytes:
    return json.dumps(document).encode()


def noise(size: int, seed: int = 0) -> bytes:
    """Return incompressible bytes."""
    return random.Random(seed).randbytes(size)


def squeeze(data: bytes) -> bytes:
    """Return *data* as gzip, deterministically."""
    return gzip.compress(data, mtime=0)


def tar(members: Mapping[str, bytes | Link]) -> bytes:
    """Return a tar of *members*, written by tarfile."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, Link):
                member.type = tarfile.LNKTYPE if content.hard else tarfile.SYMTYPE
                member.linkname = content.target
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return output.getvalue()


def untar(path: Path) -> Files:
    """Return the files of a tar by name; fail if a name is duplicate."""
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert len(names) == len(set(names)), f"{path} holds something twice"
        return {
            member.name: content.read()
            for member in archive
            if member.isfile() and (content := archive.extractfile(member))
        }


def write_files(directory: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return directory


def read_files(directory: Path) -> Files:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its uncompressed layers and the bytes of its config."""

    layers: tuple[bytes, ...]
    config: bytes

    @property
    def diff_ids(self) -> list[str]:
        return [sha256(layer) for layer in self.layers]

    @property
    def digest(self) -> str:
        """The digest of the config, which is the image ID."""
        return sha256(self.config)


def make_image(*texts: str, architecture: str = "amd64", **fields: Any) -> Image:
    """Return an image with one layer for each of *texts*; *fields* are added to its config."""
    layers = tuple(tar({f"{text}.txt": text.encode() * 100}) for text in texts)
    return image_of(layers, architecture=architecture, **fields)


def image_of(layers: Sequence[bytes], **fields: Any) -> Image:
    config: Doc = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-02T03:04:05Z",
        "config": {
            "Labels": {"made-by": "tests"},
            "Healthcheck": HEALTHCHECK,
            "OnBuild": ["RUN x"],
        },
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer) for layer in layers]},
        "history": [{"created_by": f"step {number}"} for number in range(len(layers))],
        "vendor.example": {"kept": True},
    }
    return Image(tuple(layers), dump(config | fields))


def classic_files(*images: tuple[Image, Sequence[str]]) -> dict[str, bytes | Link]:
    """Return the members that ``docker save`` before version 25 writes: one directory per layer."""
    files: dict[str, bytes | Link] = {}
    items = []
    for image, tags in images:
        paths = [f"{sha256(layer)[7:]}/layer.tar" for layer in image.layers]
        files |= dict(zip(paths, image.layers, strict=True))
        name = f"{image.digest[7:]}.json"
        files[name] = image.config
        items.append({"Config": name, "RepoTags": list(tags), "Layers": paths})
    files["manifest.json"] = dump(items)
    return files


def docker_archive(path: Path, *images: tuple[Image, Sequence[str]]) -> Path:
    path.write_bytes(tar(classic_files(*images)))
    return path


@dataclass(slots=True)
class Layout:
    """Builds an OCI layout; ``files`` are its contents by name."""

    files: Files = field(default_factory=dict)

    def blob(self, data: bytes, media_type: str, **fields: Any) -> Doc:
        """Add a blob; return its descriptor."""
        self.files[f"blobs/sha256/{sha256(data)[7:]}"] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **fields}

    def image(
        self,
        image: Image,
        *,
        pack: Callable[[bytes], bytes] | None = squeeze,
        layer_type: str | None = None,
        docker: bool = False,
        config_type: str | None = None,
        layer_fields: Sequence[Doc] = (),
        **fields: Any,
    ) -> Doc:
        """Add an image whose layers are compressed by *pack*; return its manifest's descriptor."""
        gzipped = DOCKER_LAYER_GZIP if docker else OCI_LAYER_GZIP
        layer_type = layer_type or (gzipped if pack else OCI_LAYER)
        extra = [*layer_fields, *[{}] * (len(image.layers) - len(layer_fields))]
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        if config_type is None:
            config_type = DOCKER_CONFIG if docker else OCI_CONFIG
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.blob(image.config, config_type),
            "layers": [
                self.blob(pack(layer) if pack else layer, layer_type, **more)
                for layer, more in zip(image.layers, extra, strict=True)
            ],
        }
        return self.blob(dump(manifest | fields), media_type)

    def index(self, *children: Doc, docker: bool = False, **fields: Any) -> Doc:
        media_type = DOCKER_LIST if docker else OCI_INDEX
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(children)}
        return self.blob(dump(document | fields), media_type)

    def finish(self, *entries: Doc) -> Files:
        """Add ``index.json`` with *entries*, and ``oci-layout``; return all files."""
        self.files["index.json"] = dump({"schemaVersion": 2, "manifests": list(entries)})
        self.files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
        return self.files


def named(descriptor: Doc, name: str, full: str | None = None) -> Doc:
    annotations = {REF_NAME: name} | ({CONTAINERD_NAME: full} if full else {})
    return descriptor | {"annotations": annotations}


def on(descriptor: Doc, platform: str) -> Doc:
    """Return *descriptor* with the platform ``os/architecture[/variant]``."""
    parts = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return descriptor | {"platform": parts}


def layout_of(image: Image, name: str | None = "app", **how: Any) -> Files:
    """Return the files of a layout with one image."""
    layout = Layout()
    entry = layout.image(image, **how)
    return layout.finish(named(entry, name) if name else entry)


def multi_platform(*architectures: str) -> tuple[Layout, Doc, dict[str, Image]]:
    """Return a layout, the descriptor of its index with one image per architecture, the images."""
    layout = Layout()
    images = {arch: make_image("shared", arch, architecture=arch) for arch in architectures}
    index = layout.index(
        *(on(layout.image(image), f"linux/{arch}") for arch, image in images.items())
    )
    return layout, index, images


def copy(
    source: str,
    destination: str,
    *names: str,
    format: DockerFormat | None = None,
    verify_existing: bool = False,
    **options: Any,
) -> CopyResult:
    """Copy one image between two locations, under *names* or the name in *destination*."""
    location = Location.parse(destination)
    asked = names or ((location.name,) if location.name else ())
    with (
        open_source(source) as image,
        open_writer(location, docker_format=format, verify_existing=verify_existing) as writer,
    ):
        return copy_image(image, writer.destination(*asked), CopyOptions(**options))


def check_layout(files: Mapping[str, bytes]) -> Doc:
    """Return the index of a layout after checking the digest of every blob."""
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    for name, data in files.items():
        if name.startswith("blobs/"):
            algorithm, hex = name.split("/")[1:]
            assert hashlib.new(algorithm, data).hexdigest() == hex
    index: Doc = json.loads(files["index.json"])
    return index


def blob(files: Mapping[str, bytes], descriptor: Doc) -> bytes:
    """Return the blob of *descriptor* after checking its size."""
    algorithm, hex = descriptor["digest"].split(":")
    data = files[f"blobs/{algorithm}/{hex}"]
    assert len(data) == descriptor["size"]
    return data


def load(files: Mapping[str, bytes], descriptor: Doc) -> Doc:
    document: Doc = json.loads(blob(files, descriptor))
    return document


def names_in(index: Doc) -> list[str | None]:
    return [entry.get("annotations", {}).get(REF_NAME) for entry in index["manifests"]]


def listing(directory: Path) -> list[str]:
    """Return the names in *directory*, including hidden ones."""
    return sorted(path.name for path in directory.iterdir())


def leftovers(directory: Path) -> list[str]:
    """Return the hidden names in *directory*; a finished copy must leave none."""
    return [path.name for path in directory.rglob(".*")]
