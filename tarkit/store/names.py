"""The named images of a store: ``index.json``, and the public links to their content.

A name is added after the links to its content and removed before them, so another tool that reads
the directory always finds complete images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tarkit.blobs.store import BlobStore
from tarkit.errors import BlobNotFoundError, PathNotFoundError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest, blob_name
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import Index
from tarkit.layout.editing import without
from tarkit.layout.entries import with_entries
from tarkit.layout.layout import INDEX_FILE, Layout, LayoutImage
from tarkit.layout.reachable import reachable_from_index
from tarkit.store.content import Content
from tarkit.store.links import replace_by_link
from tarkit.streams.atomic import write_file
from tarkit.streams.directory import Directory
from tarkit.streams.files import read_file
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors


class StoreFiles:
    """The files of a store as those of a layout; see :class:`tarkit.layout.layout.LayoutFiles`."""

    def __init__(self, content: Content) -> None:
        self.where = str(content.root)
        self.content = content

    def read(self, name: str) -> bytes | None:
        """Return the metadata file *name* at the top of the layout, or None if it is missing."""
        try:
            return read_file(self.content.root / name, METADATA_LIMIT)
        except PathNotFoundError:
            return None

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of the blob in bytes, or None if it is missing."""
        return self.content.size(digest)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open the blob, unverified; raise :class:`BlobNotFoundError` if it is missing."""
        return self.content.open(digest)


class Names:
    """The named images of the store of *content*."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._root = content.root

    def layout(self) -> Layout:
        """Read the index; raises :class:`MalformedError` if it is broken."""
        return Layout.read(StoreFiles(self._content))

    @contextmanager
    def locked(self) -> Iterator[Directory]:
        """Lock the index and the public links for the block, against other writers too."""
        with os_errors(self._root):
            directory = Directory.open(self._root)
        with directory, locked_directory(directory):
            yield directory

    def add(self, entries: Callable[[Layout], Sequence[Descriptor]]) -> None:
        """Add the *entries*, computed from the current index; other images lose these names.

        All their content must be held. Raises :class:`BlobNotFoundError` if a blob is missing.
        """
        with self.locked() as directory:
            old = self.layout()
            new = entries(old)
            if old.is_flat():  # it becomes an entry, so it must be a blob
                self._content.add(old.top.data)
            index = with_entries(old.listing(), new)
            self._link(reachable_from_index(old, Index(index.media_type, tuple(new))), new)
            if index != old.index:
                self._write(directory, index)

    def remove(
        self, name: str | None, position: int | None = None
    ) -> tuple[LayoutImage, set[Digest]]:
        """Remove an image's name; return the image, and the content that no name needs any more.

        Raises the errors of :func:`tarkit.layout.editing.without`.
        """
        with self.locked() as directory:
            layout = self.layout()
            image = layout.find(name, position)
            edit = without(layout, name, position)
            self._write(directory, edit.index)
            for digest in edit.removed:
                self._unlink(digest)
            return image, set(edit.removed)

    def reachable(self) -> set[Digest]:
        """Return the digests of all content of named images.

        Raises the errors of :func:`reachable_from_index`.
        """
        layout = self.layout()
        return reachable_from_index(layout, layout.index)

    def is_public(self, digest: Digest) -> bool:
        """Return True if other tools find the blob."""
        return (self._root / blob_name(digest)).is_file()

    def relink(self, layout: Layout) -> None:
        """Link the content of the named images of *layout* again, for ``repair``."""
        self._link(reachable_from_index(layout, layout.index, strict=False), ())

    def tidy(self, reachable: set[Digest]) -> None:
        """Remove public links to anything but *reachable*; keep blobs of other tools."""
        for digest in BlobStore(self._root).digests():
            if digest not in reachable and self._content.path(digest).is_file():
                self._unlink(digest)

    def _link(self, digests: Iterable[Digest], entries: Sequence[Descriptor]) -> None:
        required = {entry.digest for entry in entries}
        linked: set[Path] = set()
        for digest in sorted(digests):
            public = self._root / blob_name(digest)
            source = self._content.path(digest)
            if not source.is_file():
                # a sparse index may lack images, but a new image may not lack its manifest
                if digest in required and not public.is_file():
                    raise BlobNotFoundError(f"blob {digest} is missing", where=str(self._root))
                continue
            with os_errors(public):
                public.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
                replace_by_link(source, public)
            linked.add(public.parent)
        for parent in linked:
            with os_errors(parent), Directory.open(parent) as directory:
                directory.sync()

    def _unlink(self, digest: Digest) -> None:
        public = self._root / blob_name(digest)
        if self._content.path(digest).is_file():  # otherwise it is the only copy
            with os_errors(public):
                public.unlink(missing_ok=True)

    def _write(self, directory: Directory, index: Index) -> None:
        write_file(directory, INDEX_FILE, index.serialize().data)
