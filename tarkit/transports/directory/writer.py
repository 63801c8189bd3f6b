"""Writing an image in loose files: staged beside its place, and put there by one rename."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression
from tarkit.protocols import Profile
from tarkit.streams.atomic import PendingFile, write_file
from tarkit.streams.chunks import chunks_of
from tarkit.streams.directory import Directory
from tarkit.streams.files import require_inside
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.directory.files import (
    MANIFEST_FILE,
    VERSION,
    VERSION_FILE,
    blob_name,
    manifest_name,
)

PROFILE = Profile(media_types=MANIFESTS | INDEXES)

_NEW, _OLD = "new", "old"


class DirectoryWriter:
    """Makes *path* a directory with one image, in place of the image that may be there."""

    def __init__(self, path: Path, place: _Place, stack: ExitStack) -> None:
        self.where = str(path)
        self._path = path
        self._place = place
        self._new = place.new
        self._stack = stack
        self._committed = False

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Begin writing.

        Raises :class:`RefusedError` if *path* holds something else, or is a link that leads out of
        the directory it is in.
        """
        path = Path(path).absolute()
        with os_errors(path):
            if path.is_symlink():
                require_inside(path, path.parent)
            path = Path(os.path.realpath(path))
            with ExitStack() as stack:
                place = _Place.open(path, stack)
                return cls(path, place, stack.pop_all())

    def destination(self, *names: str) -> DirectoryDestination:
        """See :class:`tarkit.protocols.Writer`; names have no place here and are left out."""
        return DirectoryDestination(self)

    def put_file(self, name: str, data: bytes) -> None:
        """Stage a small file."""
        write_file(self._new, name, data, durable=False)

    def put_blob(self, blob: VerifyingReader) -> None:
        """Stage *blob*."""
        with PendingFile(self._new) as pending:
            for chunk in chunks_of(blob):
                with os_errors(self._path):
                    pending.file.write(chunk)
            pending.publish(blob_name(blob.digest), durable=False)

    def size(self, digest: Digest) -> int | None:
        """Return the size of a staged blob, or ``None`` if there is none."""
        status = self._new.lookup(blob_name(digest))
        return None if status is None else status.st_size

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
        parent, staging, name = self._place.parent, self._place.staging, self._path.name
        self._new.sync()
        new = self._new.status()
        old = self._place.old.status() if self._place.old is not None else None
        if old is None:
            staging.publish(_NEW, parent, name, expected=new)
            return
        aside = f".tarkit-{os.urandom(8).hex()}.old"
        parent.move(name, parent, aside)
        try:
            self._require(old, parent, aside)
            staging.publish(_NEW, parent, name, expected=new)
        except BaseException:  # a signal as well
            if parent.lookup(name) is None:
                parent.move(aside, parent, name)
            raise
        parent.move(aside, staging, _OLD)  # goes with it, and is swept if this process dies now
        try:
            self._require(old, staging, _OLD)
        except RefusedError:
            staging.move(_OLD, parent, aside)
            raise

    def _require(self, old: os.stat_result, directory: Directory, name: str) -> None:
        """Raise :class:`RefusedError` if the entry is not the *old* image, which is to be replaced."""
        if not directory.holds(name, old):
            raise RefusedError("somebody has put another directory in its place", where=self.where)


@dataclass(frozen=True, slots=True)
class _Place:
    """Open directories: the *parent* of the *old* image and of the *staging* directory, and in that the *new* image."""

    parent: Directory
    old: Directory | None
    staging: Directory
    new: Directory

    @classmethod
    def open(cls, path: Path, stack: ExitStack) -> Self:
        """Open all that writing to *path*, to which no link leads, needs until *stack* is closed."""
        with os_errors(path.parent):
            parent = stack.enter_context(Directory.open(path.parent))
        old = None
        name = path.name or "."  # of the root directory
        if (status := parent.lookup(name)) is not None:
            if not stat.S_ISDIR(status.st_mode):
                raise _other_thing(path)
            old = stack.enter_context(parent.open_directory(name))
            if old.names() and not old.holds_file(VERSION_FILE):
                raise _other_thing(path)
        staging = stack.enter_context(staging_directory(parent))
        return cls(parent, old, staging, stack.enter_context(staging.make(_NEW)))


def _other_thing(path: Path) -> RefusedError:
    return RefusedError(
        "exists and does not hold an image in loose files",
        where=str(path),
        hint="name a new or empty directory",
    )


class DirectoryDestination:
    """Where the image goes; see :class:`tarkit.protocols.Destination`."""

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
        """See :class:`tarkit.protocols.Destination`; only what this copy put there counts."""
        is_there = self._writer.size(descriptor.digest) == descriptor.size
        return descriptor if is_there else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """See :class:`tarkit.protocols.Destination`."""
        self._writer.put_blob(blob)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """See :class:`tarkit.protocols.Destination`."""
        if self._top is not None:
            self._writer.put_file(manifest_name(self._top.digest), self._top.data)
        self._top = manifest

    def commit(self) -> Descriptor:
        """See :class:`tarkit.protocols.Destination`."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._writer.put_file(MANIFEST_FILE, self._top.data)
        self._writer.commit()
        return self._top.descriptor
