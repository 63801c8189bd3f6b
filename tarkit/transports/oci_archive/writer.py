"""Writing an OCI layout straight into a tar, ``index.json`` last."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression, Family
from tarkit.layout.archive_output import ArchiveOutput
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.base import Profile

PROFILE = Profile(
    media_types=MANIFESTS | INDEXES,
    family=Family.OCI,
    habit={
        Compression.NONE: Compression.GZIP,
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
    ordered=True,
)


class OCIArchiveWriter:
    """Makes an OCI archive of any number of images, in place of the file that may be at *path*."""

    def __init__(self, output: ArchiveOutput) -> None:
        self.where = output.where
        self.output = output
        self._entries: list[Descriptor] = []

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Begin writing to *path*, or to standard output where that is ``-``."""
        return cls(ArchiveOutput(path))

    def destination(self, *names: str) -> OCIArchiveDestination:
        """See :class:`tarkit.transports.base.Writer`."""
        return OCIArchiveDestination(self, names)

    def add(self, manifest: RawManifest, names: tuple[str, ...]) -> None:
        """Note that *manifest* is to be listed under *names*."""
        self._entries += named_entries(manifest, names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Publish the archive, unless the block ended in an error or nothing was committed."""
        with self.output as output:
            if kind is None and self._entries:
                output.add(INDEX_FILE, with_entries(EMPTY_INDEX, self._entries).serialize().data)
                output.add(MARKER_FILE, MARKER)
                output.publish()


class OCIArchiveDestination:
    """Where one image goes in an OCI archive; see :class:`tarkit.transports.base.Destination`."""

    profile = PROFILE

    def __init__(self, writer: OCIArchiveWriter, names: tuple[str, ...]) -> None:
        self.where = writer.where
        self._writer = writer
        self._names = names
        self._top: RawManifest | None = None

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """See :class:`tarkit.transports.base.Destination`; only what is in the archive already counts."""
        is_there = self._writer.output.size(descriptor.digest) == descriptor.size
        return descriptor if is_there else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        self._writer.output.put_blob(blob, lambda hex: f"blobs/{blob.algorithm}/{hex}")
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._writer.output.size(manifest.digest) is None:
            blob = VerifyingReader(io.BytesIO(manifest.data), digest=manifest.digest)
            self.put_blob(blob, manifest.media_type)
        self._top = manifest

    def commit(self) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._writer.add(self._top, self._names)
        return self._top.descriptor
