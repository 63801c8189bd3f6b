"""Writing an image in loose files: staged beside its place, and put there by one rename."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression
from tarkit.streams.atomic import PendingFile, atomic_file, os_errors, sync_directory
from tarkit.streams.chunks import chunks_of
from tarkit.streams.staging import staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.base import Profile
from tarkit.transports.directory.files import (
    MANIFEST_FILE,
    VERSION,
    VERSION_FILE,
    blob_name,
    manifest_name,
)

PROFILE = Profile(media_types=MANIFESTS | INDEXES)


class DirectoryWriter:
    """Makes *path* a directory with one image, in place of the one that may be there."""

    def __init__(self, path: Path, staging: Path, stack: ExitStack) -> None:
        self.where = str(path)
        self._path = path
        self._staging = staging
        self._stack = stack
        self._committed = False

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Begin writing; raises :class:`RefusedError` where *path* holds something else."""
        path = Path(os.path.realpath(path))
        with os_errors(path):
            taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
            if taken and not (path / VERSION_FILE).exists():
                raise RefusedError(
                    "exists and does not hold an image in loose files",
                    where=str(path),
                    hint="name a new or empty directory",
                )
        with ExitStack() as stack:
            staging = stack.enter_context(staging_directory(path.parent))
            return cls(path, staging, stack.pop_all())

    def destination(self, *names: str) -> DirectoryDestination:
        """See :class:`tarkit.transports.base.Writer`; names have no place here and are left out."""
        return DirectoryDestination(self)

    def put_file(self, name: str, data: bytes) -> None:
        """Stage a small file."""
        with atomic_file(self._staging / name) as file:
            file.write(data)

    def put_blob(self, blob: VerifyingReader) -> None:
        """Stage *blob*."""
        with PendingFile(self._staging) as pending:
            for chunk in chunks_of(blob):
                with os_errors(self._path):
                    pending.file.write(chunk)
            pending.publish(self._staging / blob_name(blob.digest))

    def size(self, digest: Digest) -> int | None:
        """The size of a staged blob."""
        path = self._staging / blob_name(digest)
        return path.stat().st_size if path.exists() else None

    def commit(self) -> None:
        """Note that the image is complete."""
        self._committed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put the image in its place, unless the block ended in an error."""
        with self._stack:
            if kind is None and self._committed:
                self.put_file(VERSION_FILE, VERSION)
                with os_errors(self._path):
                    self._publish()

    def _publish(self) -> None:
        old = self._path.with_name(f".tarkit-{os.urandom(8).hex()}.old")
        if self._path.exists():
            self._path.rename(old)
        try:
            self._staging.rename(self._path)
        except BaseException:  # a signal as well
            if old.exists() and not self._path.exists():
                old.rename(self._path)
            raise
        if old.exists():
            old.rename(self._staging)  # goes with it, and is swept where this process dies now
        sync_directory(self._path.parent)


class DirectoryDestination:
    """Where the image goes; see :class:`tarkit.transports.base.Destination`."""

    profile = PROFILE

    def __init__(self, writer: DirectoryWriter) -> None:
        self.where = writer.where
        self._writer = writer
        self._top: RawManifest | None = None

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """See :class:`tarkit.transports.base.Destination`; only what this copy put there counts."""
        is_there = self._writer.size(descriptor.digest) == descriptor.size
        return descriptor if is_there else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        self._writer.put_blob(blob)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._top is not None:
            self._writer.put_file(manifest_name(self._top.digest), self._top.data)
        self._top = manifest

    def commit(self) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._writer.put_file(MANIFEST_FILE, self._top.data)
        self._writer.commit()
        return self._top.descriptor
