"""Blobs, providers and counts for tests of refs."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import BinaryIO

from tarkit.cache.facts import UNCOMPRESSED, CachePolicy
from tarkit.cache.manager import CacheManager
from tarkit.cache.options import DEFAULTS, DescHandler, RefOptions
from tarkit.cache.refs import ImmutableRef, Ref
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression, Family
from tarkit.store.store import Store
from tarkit.streams.codecs import compress

RETAIN = RefOptions(policy=CachePolicy.RETAIN)
PRUNE_ALL: tuple[()] = ()


class Blob:
    """A layer with *files*, compressed, and an origin that counts how often it is opened."""

    def __init__(
        self, files: Mapping[str, str], compression: Compression = Compression.GZIP
    ) -> None:
        plain = tar(files)
        self.diff_id = Digest.of(plain)
        self.data = compress(io.BytesIO(plain), compression).read()
        kind = media_types.layer_type(media_types.OCI_LAYER, Family.OCI, compression)
        assert kind is not None
        self.descriptor = Descriptor(
            kind, Digest.of(self.data), len(self.data),
            annotations={UNCOMPRESSED: str(self.diff_id)},
        )  # fmt: skip
        self.opened = 0

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """See :class:`tarkit.cache.options.BlobProvider`."""
        assert descriptor.digest == self.descriptor.digest
        self.opened += 1
        return io.BytesIO(self.data)

    @property
    def options(self) -> RefOptions:
        """Options with this blob as the handler of its digest."""
        return RefOptions(handlers={self.descriptor.digest: DescHandler(self)})

    def put(self, manager: CacheManager) -> Descriptor:
        """Store the blob without keeping it, and return its descriptor."""
        with Store.open(manager.store.root) as store:
            store.content.add(self.data)
        return self.descriptor


def tar(files: Mapping[str, str]) -> bytes:
    """Return a tar as Python writes it."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return output.getvalue()


def usage(manager: CacheManager) -> tuple[int, int]:
    """Return the number of refs in use, and of others."""
    infos = manager.disk_usage()
    used = sum(info.in_use for info in infos)
    return used, len(infos) - used


def snapshots(manager: CacheManager) -> int:
    """Return the number of plain tars and of staged changes in the store."""
    root = manager.store.root
    return len([*root.glob("layers/*.tar"), *root.glob("staging/*")])


def blobs(manager: CacheManager) -> int:
    """Return the number of blobs in the store."""
    return len(manager.store.content.blobs())


def made(
    manager: CacheManager,
    name: str,
    parent: ImmutableRef | None = None,
    options: RefOptions = DEFAULTS,
) -> ImmutableRef:
    """Return a committed ref that adds one file, with its name as the content."""
    active = manager.new(parent, options)
    active.files.write(name, name.encode())
    return active.commit()


def release(*refs: Ref | None) -> None:
    """Release refs."""
    for ref in refs:
        assert ref is not None
        ref.release()
