"""References to results: immutable and mutable refs, which keep their records until released."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tarkit.cache import blobs, facts, mounting
from tarkit.cache.cache import Cache
from tarkit.cache.chains import layer_chain
from tarkit.cache.identity import IdentityMapping
from tarkit.cache.image import RefImage
from tarkit.cache.metadata import RefMetadata
from tarkit.cache.options import DescHandler, DescHandlers
from tarkit.cache.remotes import Remote, get_remotes
from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import Compression
from tarkit.protocols import PlainLayer
from tarkit.rootfs.image_files import ImageFiles
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.store.record import Record
from tarkit.store.records import Hold
from tarkit.values import replace


class _Releasing(ABC):
    """A context manager whose block ends with :meth:`release`."""

    @abstractmethod
    def release(self) -> None:
        """End the references."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Ref(RefMetadata, _Releasing):
    """A reference to a result, made by :class:`~tarkit.cache.manager.CacheManager`.

    It is a context manager that releases the reference at the end of its block. Until then, the
    result is kept. A process that ends releases all of its refs.
    """

    def __init__(self, cache: Cache, hold: Hold, handlers: DescHandlers) -> None:
        super().__init__(cache.ledger, hold.record)
        self._cache = cache
        self._hold = hold
        self._handlers = handlers
        self._released = False
        self._lock = threading.RLock()
        cache.opened(self)

    @property
    def is_released(self) -> bool:
        """True if the ref can no longer be used."""
        return self._released

    @property
    def identity_mapping(self) -> IdentityMapping:
        """The mapping of the manager between users of containers and of the machine."""
        return self._cache.identity_mapping

    def desc_handler(self, digest: Digest) -> DescHandler | None:
        """Return the handler of the blob *digest*, or None."""
        return self._handlers.get(digest)

    @property
    def handlers(self) -> DescHandlers:
        """The handlers of blobs that may be missing."""
        return self._handlers

    def release(self) -> None:
        """End the reference; do nothing if it has ended."""
        with self._lock:
            if not self._released:
                self._released = True
                self._end()
                self._cache.closed(self)

    def _end(self) -> None:
        self._ledger.release(self._hold)

    def _current(self) -> Record:
        if self._released:
            raise RefusedError(f"the ref {self.id} has been released")
        return self.record

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


class ImmutableRef(Ref):
    """A result that never changes. It is a :class:`~tarkit.protocols.Source`, too: an image.

    >>> with tarkit.CacheManager.open("store") as manager, manager.new().commit() as ref:
    ...     with tarkit.open_writer("oci:layout") as writer:
    ...         result = tarkit.copy_image(ref, writer.destination("empty"))
    ...     ref.file_list()
    []
    """

    _files: ImageFiles | None = None

    def clone(self) -> ImmutableRef:
        """Return another reference to the same result; it does not count as a use."""
        self._current()
        return ImmutableRef(self._cache, self._ledger.clone(self._hold), self._handlers)

    def finalize(self) -> None:
        """Write the layer of a committed ref if necessary; its mutable ref disappears."""
        self._cache.finalize(self._current(), self._handlers)

    def unlazy(self) -> None:
        """Fetch all blobs of the chain that are not in the store.

        Raises :class:`~tarkit.errors.NeedsRemoteProviderError`, and the errors of providers.
        """
        self._cache.snapshots.unlazy(self._current(), self._handlers)

    def extract(self) -> None:
        """Make the plain layers of the chain, so that reading starts at once.

        Raises the errors of :meth:`unlazy`.
        """
        self._cache.snapshots.extract(self._current(), self._handlers)

    @property
    def is_lazy(self) -> bool:
        """True if the store has neither blob nor plain tar of the layer that the ref adds."""
        return self._cache.snapshots.is_lazy(self.record)

    @property
    def is_blob_only(self) -> bool:
        """True if the layer that the ref adds is in the store only as a blob."""
        return self._cache.snapshots.is_blob_only(self.record)

    @property
    def size(self) -> int:
        """The bytes in the store of the layer that the ref adds: its blob and its plain tar."""
        return self._cache.size(self.record)

    @property
    def files(self) -> ImageFiles:
        """The root filesystem, open until the ref is released.

        Raises the errors of :meth:`extract`.
        """
        with self._lock:
            record = self._current()
            if self._files is None:
                self._files = self._cache.snapshots.files(record, self._handlers)
            return self._files

    def mount(self, *, writable: bool = False) -> AbstractContextManager[Path]:
        """Provide the root filesystem as a directory for a block; it is read-only in any case."""
        return mounting.mount_immutable(self._cache, self._current(), self._handlers)

    def layer_chain(self) -> RefList:
        """Return a new reference to each layer, lowest first; release the list."""
        links = layer_chain(self._current(), self._ledger.find)
        return RefList(self._other(link.record.id) for link in links)

    def _other(self, record_id: str) -> ImmutableRef:
        _, hold = self._ledger.get(record_id, use=False)
        return ImmutableRef(self._cache, hold, self._handlers)

    def file_list(self) -> list[str]:
        """Return the paths of the layer that the ref adds, sorted, without slash at the start.

        A removed path has its name in the layer, with ``.wh.`` before the last component.
        """
        record = self._current()
        links = layer_chain(record, self._ledger.find)
        if not links or links[-1].record.id != record.id:
            return []
        snapshots = self._cache.snapshots
        listing = snapshots.listing(snapshots.layer(record, self._handlers))
        names = {name.strip(b"/").decode("utf-8", "surrogateescape") for name in listing.names}
        return sorted(names - {"", "."})

    def set_blob(self, descriptor: Descriptor) -> None:
        """Make a blob of the store the stored form of the layer that the ref adds.

        The annotation ``containerd.io/uncompressed`` of *descriptor* must be its diff ID. Raises
        :class:`~tarkit.errors.BlobNotFoundError` if the store lacks it.
        """
        blobs.set_blob(self._cache, self._current(), descriptor)

    def get_remotes(
        self,
        create: bool = False,
        compression: Compression | None = None,
        *,
        force: bool = False,
        all: bool = False,
        prefer_nondistributable: bool = False,
    ) -> list[Remote]:
        """Return the blobs of the chain: one :class:`Remote`, or with *all* also its variants.

        With *create*, missing blobs are made, in *compression*, by default gzip. With *force*, layers
        in another compression are converted too. Lazy blobs that need no conversion stay lazy.
        Variants are other blobs of the same layers whose top layer has the *compression*. Raises
        :class:`~tarkit.errors.NoBlobsError` if there are none and *create* is false.
        """
        return get_remotes(
            self._cache, self._current(), self._handlers, create=create, force=force, all=all,
            compression=compression, prefer_nondistributable=prefer_nondistributable,
        )  # fmt: skip

    # a source

    @property
    def where(self) -> str:
        """The location, for messages."""
        return f"store:@{self.id}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the image; none."""
        return ()

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        """Return the manifest of the ref as an image; see :class:`~tarkit.protocols.Source`."""
        return self._image.manifest(digest)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        """Open the config or a layer; see :class:`~tarkit.protocols.Source`."""
        return self._image.open_blob(descriptor)

    def plain_layer(self, layer: Descriptor, diff_id: Digest) -> PlainLayer | None:
        """Return a layer uncompressed; see :class:`~tarkit.protocols.IndexedSource`."""
        return self._image.plain_layer(layer, diff_id)

    @property
    def _image(self) -> RefImage:
        with self._lock:
            if self._made is None:
                self._made = RefImage(self._cache, self._current(), self._handlers)
            return self._made

    _made: RefImage | None = None

    def _end(self) -> None:
        files, self._files = self._files, None
        if files is not None:
            files.close()
        record = self._ledger.records.get(self.id)
        super()._end()
        if record is not None and not self._cache.is_open(self.id):
            self._cache.snapshots.settle(record)


class MutableRef(Ref):
    """A result in the making, with one user at a time.

    >>> with tarkit.CacheManager.open("store") as manager, manager.new() as active:
    ...     active.files.mkdir("/etc")
    ...     active.files.write("/etc/motd", b"hello")
    ...     active.commit().file_list()
    ['etc', 'etc/motd']
    """

    _spent = False

    @property
    def files(self) -> WritableFileSystem:
        """The root filesystem, to be read and changed; raises if the parent cannot be extracted."""
        with self._lock:
            return self._cache.snapshots.staged(self._current(), self._handlers)

    def mount(self, *, writable: bool = True) -> AbstractContextManager[Path]:
        """Provide the root filesystem as a directory for a block, for example to run a process there.

        If the block succeeds, all changes are then part of :attr:`files`. For root, the directory
        is an overlay, whose cost depends on the changes alone; for others, it is a copy with the
        attributes that this user can keep. Unless *writable*, changes are refused or lost.
        """
        return mounting.mount_mutable(
            self._cache, self._current(), self.files, writable=writable, handlers=self._handlers
        )

    def commit(self) -> ImmutableRef:
        """Return an immutable ref with the present content; this ref can no longer be used.

        No layer is written until the result is finalized or read.
        """
        with self._lock:
            record = self._current()
            staged = self._staged(record)
            with self._ledger.change() as change:
                if staged is not None:
                    change.put(staged)
                _, hold = self._ledger.commit(self._hold)
            self._released = True
            self._cache.closed(self)
            return ImmutableRef(self._cache, hold, self._handlers)

    def _staged(self, record: Record) -> Record | None:
        """Put the staged changes on the disk; return the record with them, or None without changes."""
        needed = self._cache.snapshots.sync(record)
        if needed is None:
            return None
        values = {**record.values, facts.STAGED: True}
        contents = frozenset(self._cache.snapshots.item(diff_id) for diff_id in needed)
        return replace(record, values=values, contents=contents)

    def _end(self) -> None:
        record = self._ledger.records.get(self.id)
        if record is not None:
            staged = self._staged(record)
            if staged is not None and self.policy is facts.CachePolicy.RETAIN:
                with self._ledger.change() as change:
                    change.put(staged)
            self._cache.snapshots.settle(record)
        super()._end()


class RefList(list[ImmutableRef], _Releasing):
    """Several refs, released together; a context manager."""

    def release(self) -> None:
        """Release all refs of the list."""
        for ref in self:
            ref.release()
