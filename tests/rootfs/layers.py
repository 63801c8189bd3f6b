"""Build layers with the standard library, and sources of images with these layers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tarkit.protocols import Source
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.tree import Tree
from tarkit.tar.member import Member
from tarkit.tar.reader import TarReader
from tarkit.transports.location import open_source
from tests.builders import docker_archive, image_of, layout_of, squeeze, write_files

TIME = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of a layer to write with tarfile."""

    name: str
    kind: bytes = tarfile.REGTYPE
    data: bytes = b""
    target: str = ""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = TIME
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, str] = field(default_factory=dict)


def file(name: str, data: bytes | str = b"", mode: int = 0o644, **more: object) -> Item:
    raw = data.encode() if isinstance(data, str) else data
    return Item(name, data=raw, mode=mode, **more)  # type: ignore[arg-type]


def directory(name: str, mode: int = 0o755, **more: object) -> Item:
    return Item(name, tarfile.DIRTYPE, mode=mode, **more)  # type: ignore[arg-type]


def link(name: str, target: str) -> Item:
    return Item(name, tarfile.SYMTYPE, target=target, mode=0o777)


def hard(name: str, target: str) -> Item:
    return Item(name, tarfile.LNKTYPE, target=target)


def fifo(name: str) -> Item:
    return Item(name, tarfile.FIFOTYPE)


def char(name: str, major: int, minor: int) -> Item:
    return Item(name, tarfile.CHRTYPE, device=(major, minor), mode=0o666)


def block(name: str, major: int, minor: int) -> Item:
    return Item(name, tarfile.BLKTYPE, device=(major, minor), mode=0o660)


def unaligned(name: str) -> Item:
    """Return a sparse file of 2000 bytes with two segments that do not end at block boundaries."""
    return file(
        f"GNUSparseFile.0/{name}",
        b"A" * 100 + b"B" * 100,
        pax={
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.name": name,
            "GNU.sparse.size": "2000",
            "GNU.sparse.map": "0,100,1000,100",
        },
    )


def pack(items: Sequence[Item]) -> bytes:
    """Return a layer of *items*, in the given order."""
    output = io.BytesIO()
    with tarfile.open(
        fileobj=output, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape"
    ) as archive:
        for item in items:
            info = tarfile.TarInfo(item.name)
            info.type, info.linkname, info.mode = item.kind, item.target, item.mode
            info.uid, info.gid, info.mtime = item.uid, item.gid, item.mtime
            info.devmajor, info.devminor = item.device
            info.pax_headers = dict(item.pax)
            info.size = len(item.data)
            archive.addfile(info, io.BytesIO(item.data))
    return output.getvalue()


def members(*items: Item) -> list[Member]:
    """Return *items* as the members of a parsed layer."""
    return list(TarReader(io.BytesIO(pack(items))))


def merge(layers: Sequence[Sequence[Member]], *, mtime_ns: int = 0, strict: bool = False) -> Tree:
    """Return the merged tree of *layers*, bottom first."""
    merger = Merger(mtime_ns=mtime_ns, strict=strict)
    for number, layer in enumerate(layers):
        merger.add(number, layer)
    merger.count_links()
    return merger.tree


@contextmanager
def source_of(
    directory: Path, *layers: Sequence[Item] | bytes, compressed: bool = True
) -> Iterator[Source]:
    """Return an image of *layers*, bottom first: gzip in an OCI layout, or plain in a docker archive."""
    image = image_of([each if isinstance(each, bytes) else pack(each) for each in layers])
    if compressed:
        write_files(directory / "layout", layout_of(image, pack=squeeze))
        location = f"oci:{directory / 'layout'}"
    else:
        location = f"docker-archive:{docker_archive(directory / 'image.tar', (image, ['app']))}"
    with open_source(location) as source:
        yield source
