"""Write a ``dir:`` image: stage it next to its path, and publish it by one rename."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression
from tarkit.protocols import Profile
from tarkit.streams.atomic import PendingFile, write_file
from tarkit.streams.chunks import chunks_of
from tarkit.streams.closeable import Publishing
from tarkit.streams.directory import Directory
from tarkit.streams.files import require_inside
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import parent_of, staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.directory.files import (
    MANIFEST_FILE,
    VERSION,
    VERSION_FILE,
    blob_name,
    manifest_name,
)
from tarkit.values import dataclass

PROFILE = Profile(media_types=MANIFESTS | INDEXES)

_NEW, _OLD = "new", "old"


class DirectoryWriter(Publishing):
    """Writes one image to the directory *path*, replacing an existing image.

    >>> with (
    ...     tarkit.open_source("fixtures/hello.tar") as source,
    ...     tarkit.DirectoryWriter.open("files") as writer,
    ... ):
    ...     tarkit.copy_image(source, writer.destination()).copied
    3
    """

    def __init__(self, path: Path, directories: _Directories, stack: ExitStack) -> None:
        self.where = str(path)
        self._path = path
        self._directories = directories
        self._new = directories.new
        self._stack = stack
        self._committed = False

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Begin writing.

        Raises :class:`RefusedError` if *path* contains anything but a ``dir:`` image, and
        :class:`UnsafePathError` if it is a link out of its directory.
        """
        path = Path(path).absolute()
        with os_errors(path):
            # A link to a sibling is fine, but one to elsewhere would move the output.
            if path.is_symlink():
                require_inside(path, path.parent)
            path = Path(os.path.realpath(path))
            with ExitStack() as stack:
                directories = _Directories.open(path, stack)
                return cls(path, directories, stack.pop_all())

    def destination(self, *names: str) -> DirectoryDestination:
        """Return the destination of the image; *names* are ignored, because the format has none."""
        return DirectoryDestination(self)

    def put_file(self, name: str, data: bytes) -> None:
        """Stage a file with the content *data*."""
        write_file(self._new, name, data, durable=False)

    def put_blob(self, blob: VerifyingReader) -> None:
        """Stage *blob*."""
        with PendingFile(self._new) as pending:
            for chunk in chunks_of(blob):
                with os_errors(self._path):
                    pending.file.write(chunk)
            pending.publish(blob_name(blob.digest), durable=False)

    def size(self, digest: Digest) -> int | None:
        """Return the size of a staged blob, or None if it is missing."""
        status = self._new.lookup(blob_name(digest))
        return None if status is None else status.st_size

    def commit(self) -> None:
        """Mark the image as complete."""
        self._committed = True

    def _end(self, succeeded: bool) -> None:
        """Publish the image, unless the block raised an error."""
        # The stack removes the staging directory, also if publishing fails.
        with self._stack:
            if succeeded and self._committed:
                self.put_file(VERSION_FILE, VERSION)
                with os_errors(self._path):
                    self._publish()

    def _publish(self) -> None:
        parent, staging, name = self._directories.parent, self._directories.staging, self._path.name
        self._new.sync()
        new = self._new.status()
        old = self._directories.old.status() if self._directories.old is not None else None
        if old is None:
            staging.publish(_NEW, parent, name, expected=new)
            return
        # No rename replaces a directory that is not empty. So move the old image aside, publish the
        # new image, and only then delete the old one with the staging directory.
        aside = f".tarkit-{os.urandom(8).hex()}.old"
        parent.move(name, parent, aside)
        # Another process may have replaced the image since it was opened.
        try:
            self._require(old, parent, aside)
            staging.publish(_NEW, parent, name, expected=new)
        except BaseException:  # also on a signal
            # Put the old image back, unless the new one is already in its place.
            if parent.lookup(name) is None:
                parent.move(aside, parent, name)
            raise
        # Staging directories are swept, so the old image is removed even if this process now dies.
        parent.move(aside, staging, _OLD)
        try:
            self._require(old, staging, _OLD)
        except RefusedError:
            staging.move(_OLD, parent, aside)
            raise

    def _require(self, old: os.stat_result, directory: Directory, name: str) -> None:
        """Raise :class:`RefusedError` unless *name* in *directory* is the *old* image."""
        if not directory.holds(name, old):
            raise RefusedError("another process replaced the directory", where=self.where)


@dataclass(frozen=True, slots=True)
class _Directories:
    """The *parent* directory with the *old* image, and *staging*, which contains the *new* one."""

    parent: Directory
    old: Directory | None
    staging: Directory
    new: Directory

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> Self:
        """Open the directories for writing to the resolved *path*; *stack* closes them."""
        parent = stack.enter_context(parent_of(path))
        old = None
        name = path.name or "."  # the root directory has no name
        if (status := parent.lookup(name)) is not None:
            if not stat.S_ISDIR(status.st_mode):
                raise _not_an_image(path)
            old = stack.enter_context(parent.open_directory(name))
            # An empty directory is accepted, since users often create it first.
            if old.names() and not old.holds_file(VERSION_FILE):
                raise _not_an_image(path)
        staging = stack.enter_context(staging_directory(parent))
        return cls(parent, old, staging, stack.enter_context(staging.make(_NEW)))


def _not_an_image(path: Path) -> RefusedError:
    return RefusedError(
        "exists and is not a dir: image",
        where=str(path),
        hint="name a new or empty directory",
    )


class DirectoryDestination:
    """Receives the image of a writer, as a :class:`tarkit.protocols.Destination`."""

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
        """Return *descriptor* if this copy has staged the blob; other blobs are not reused."""
        is_staged = self._writer.size(descriptor.digest) == descriptor.size
        return descriptor if is_staged else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """Stage *blob* and return its descriptor."""
        self._writer.put_blob(blob)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """Keep *manifest* for :meth:`commit`, and stage the one before it under its digest."""
        # The last manifest is the top one and becomes manifest.json.
        if self._top is not None:
            self._writer.put_file(manifest_name(self._top.digest), self._top.data)
        self._top = manifest

    def commit(self) -> Descriptor:
        """Stage the top manifest and mark the image as complete."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._writer.put_file(MANIFEST_FILE, self._top.data)
        self._writer.commit()
        return self._top.descriptor
