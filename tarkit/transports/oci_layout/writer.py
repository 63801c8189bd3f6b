"""Writing an OCI layout directory: staged beside it, moved in at the end, the index last."""

from __future__ import annotations

import io
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from tarkit.blobs.store import BlobStore
from tarkit.errors import DigestMismatchError, RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression, Family, layer_compression
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.known import known_layers
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, Layout
from tarkit.streams.atomic import atomic_file, os_errors, sync_directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.staging import staging_directory
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.base import Profile
from tarkit.transports.oci_layout.reader import DirectoryFiles

PROFILE = Profile(
    media_types=MANIFESTS | INDEXES,
    family=Family.OCI,
    habit={
        Compression.NONE: Compression.GZIP,
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
)


class OCILayoutWriter:
    """Adds images to the OCI layout at *path*, or makes a new one.

    Blobs are written to a staging directory on the same filesystem. A new layout appears by one
    rename; an existing one gets the blobs first and its ``index.json`` last, under a lock, so that
    any number of writers can add to it at once and readers never see half of anything.

    With *verify_existing*, a blob that is there already is reused only after it was hashed;
    otherwise its size decides.
    """

    def __init__(self, path: Path, staging: Path, stack: ExitStack, verify_existing: bool) -> None:
        self.where = str(path)
        self._path = path
        self._stack = stack
        self._existing = BlobStore(path)
        self._verify_existing = verify_existing
        self._staging = staging
        self._staged = BlobStore(staging)
        self._entries: list[Descriptor] = []

    @classmethod
    def open(cls, path: str | Path, *, verify_existing: bool = False) -> Self:
        """Begin writing; raises :class:`RefusedError` where *path* holds something else."""
        path = Path(path)
        with os_errors(path):
            is_layout = (path / MARKER_FILE).exists()
            if not is_layout and path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise RefusedError(
                    "exists and is not an OCI layout",
                    where=str(path),
                    hint="name a new or empty directory",
                )
        if is_layout:
            Layout.read(DirectoryFiles(path))
        with ExitStack() as stack:
            parent = path if is_layout else path.absolute().parent
            staging = stack.enter_context(staging_directory(parent))
            return cls(path, staging, stack.pop_all(), verify_existing)

    def destination(self, *names: str) -> OCILayoutDestination:
        """See :class:`tarkit.transports.base.Writer`."""
        return OCILayoutDestination(self, names)

    def find(self, digest: Digest, size: int) -> bool:
        """Whether a whole blob of that *digest* and *size* is there, or staged."""
        if self._staged.size(digest) == size:
            return True
        if self._existing.size(digest) != size:
            return False
        return not self._verify_existing or self._is_sound(digest, size)

    def _is_sound(self, digest: Digest, size: int) -> bool:
        with VerifyingReader(self._existing.open(digest), digest=digest, size=size) as reader:
            try:
                reader.verify()
            except DigestMismatchError:
                return False
        return True

    def find_layer(
        self, diff_id: Digest, compressions: frozenset[Compression]
    ) -> Descriptor | None:
        """A whole layer of that diff ID that is there, in one of *compressions*."""
        for layer in self._known_layers.get(diff_id, ()):
            if layer_compression(layer.media_type) in compressions and self.find(
                layer.digest, layer.size
            ):
                return layer
        return None

    @cached_property
    def _known_layers(self) -> dict[Digest, list[Descriptor]]:
        if not (self._path / MARKER_FILE).exists():
            return {}
        return dict(known_layers(Layout.read(DirectoryFiles(self._path))))

    def put(self, blob: VerifyingReader) -> None:
        """Stage *blob*."""
        self._staged.put(blob)

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
        """Publish what was committed, unless the block ended in an error."""
        with self._stack:
            if kind is None and self._entries:
                self._publish()

    def _publish(self) -> None:
        if not (self._path / MARKER_FILE).exists() and self._publish_whole():
            return
        with locked_directory(self._path):
            layout = Layout.read(DirectoryFiles(self._path))
            self._existing.adopt(self._staged)
            index = with_entries(layout.index, self._entries).serialize()
            if index.data != layout.top.data:
                with atomic_file(self._path / INDEX_FILE) as file:
                    file.write(index.data)
                sync_directory(self._path)

    def _publish_whole(self) -> bool:
        """Make the staging directory the layout; false where another writer was first."""
        index = with_entries(EMPTY_INDEX, self._entries).serialize()
        for name, data in ((MARKER_FILE, MARKER), (INDEX_FILE, index.data)):
            with atomic_file(self._staging / name) as file:
                file.write(data)
        try:
            self._staging.rename(self._path)
        except OSError:
            if (self._path / MARKER_FILE).exists():
                return False
            raise
        sync_directory(self._path.absolute().parent)
        return True


class OCILayoutDestination:
    """Where one image goes in an OCI layout; see :class:`tarkit.transports.base.Destination`."""

    profile = PROFILE

    def __init__(self, writer: OCILayoutWriter, names: tuple[str, ...]) -> None:
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
        """See :class:`tarkit.transports.base.Destination`."""
        if self._writer.find(descriptor.digest, descriptor.size):
            return descriptor
        return self._writer.find_layer(diff_id, compressions) if diff_id else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        self._writer.put(blob)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """See :class:`tarkit.transports.base.Destination`."""
        self._writer.put(VerifyingReader(io.BytesIO(manifest.data), digest=manifest.digest))
        self._top = manifest

    def commit(self) -> Descriptor:
        """See :class:`tarkit.transports.base.Destination`."""
        if self._top is None:
            raise RuntimeError("commit() before put_manifest()")
        self._writer.add(self._top, self._names)
        return self._top.descriptor
