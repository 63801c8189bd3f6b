"""Look up the stored files of a container by name or digest, for every kind of container."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import BinaryIO, Protocol

from tarkit.blobs.store import BlobStore
from tarkit.errors import PathNotFoundError, TarkitError, UnsafePathError
from tarkit.image.digest import Digest, blob_name
from tarkit.image.document import METADATA_LIMIT
from tarkit.streams.chunks import read_bounded
from tarkit.streams.files import (
    FOLLOW_LINKS_HINT,
    find_regular,
    open_regular,
    read_file,
    require_inside,
)
from tarkit.tar.archive import Archive
from tarkit.tar.member import Member
from tarkit.tar.names import clean, shown
from tarkit.transports.directory.files import blob_name as loose_blob_name
from tarkit.transports.directory.files import manifest_name as loose_manifest_name
from tarkit.values import dataclass

# skopeo's dir: layout: "HEX" for blobs, "ALGORITHM-HEX" unless SHA-256; this suffix for manifests
_MANIFEST_SUFFIX = ".manifest.json"


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A stored file or archive member.

    ``size`` is in bytes, ``place`` is the offset in an archive, and ``digest`` is the digest that
    the name states, if any.
    """

    name: str
    size: int
    place: int = 0
    digest: Digest | None = None
    open: Callable[[], BinaryIO] = field(compare=False, kw_only=True)

    def read(self) -> bytes:
        """Return the content of a document.

        Raises :class:`~tarkit.errors.LimitExceededError` if it exceeds the limit for documents.
        """
        with self.open() as stream:
            return read_bounded(stream, METADATA_LIMIT, where=self.name)


class BlobLookup(Protocol):
    """The files of a container. Methods raise :class:`~tarkit.errors.TarkitError` for bad files."""

    def read(self, name: str) -> bytes | None:
        """Return the document *name* at the top of the container, or None if it is missing."""
        ...

    def blob(self, digest: Digest) -> tuple[StoredBlob, ...]:
        """Return every file that a reader may use as the blob; none if it is missing."""
        ...

    def place(self, digest: Digest) -> str:
        """Return the name that the file of the blob has or should have, for findings."""
        ...

    def stored(self) -> Iterator[StoredBlob]:
        """Iterate over all files with content, but not over the container's own metadata."""
        ...


class ArchiveContents:
    """The members of an archive."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    def read(self, name: str) -> bytes | None:
        """Return the member *name*, or None if it is missing."""
        if not self.archive.candidates(name):
            return None
        return self.archive.read(name, METADATA_LIMIT)

    def blob(self, digest: Digest) -> tuple[StoredBlob, ...]:
        """Return every member that a reader may use as the blob."""
        return self.named(blob_name(digest))

    def place(self, digest: Digest) -> str:
        """Return the name that the file of the blob has or should have, for findings."""
        return blob_name(digest)

    def named(self, name: str) -> tuple[StoredBlob, ...]:
        """Return all members called *name* that have data; a link is resolved to its target."""
        last = self.archive.find(name)
        if last is None:
            return ()
        # Readers disagree on which duplicate counts, so all are checked.
        others = (m for m in self.archive.candidates(name) if m.type.has_data)
        members = {member.offset: member for member in (*others, last)}
        return tuple(map(self._content, members.values()))

    def stored(self) -> Iterator[StoredBlob]:
        """Iterate over all members that have data."""
        return (self._content(m) for m in self.archive.members if m.type.has_data)

    def _content(self, member: Member) -> StoredBlob:
        name = clean(member.name)
        text = shown(member.name if name is None else name)
        return StoredBlob(
            text,
            member.size,
            member.data_offset,
            _blob_digest(text),
            open=lambda: self.archive.open_member(member),
        )


class LayoutContents:
    """The files of a layout directory."""

    def __init__(self, path: Path, *, follow_links: bool = False) -> None:
        self._path = path
        self._follow_links = follow_links
        self._store = BlobStore(path, follow_links=follow_links, hint=FOLLOW_LINKS_HINT)

    def read(self, name: str) -> bytes | None:
        """Return the document *name*, or None if it is missing."""
        return _read(self._path, name, follow_links=self._follow_links)

    def blob(self, digest: Digest) -> tuple[StoredBlob, ...]:
        """Return the blob, or nothing if it is missing."""
        size = self._store.size(digest)
        return () if size is None else (self._content(digest, size),)

    def place(self, digest: Digest) -> str:
        """Return the name that the file of the blob has or should have, for findings."""
        return blob_name(digest)

    def stored(self) -> Iterator[StoredBlob]:
        """Iterate over all blobs."""
        for digest in self._store.digests():
            with suppress(TarkitError):  # every document that refers to it reports the error
                yield from self.blob(digest)

    def _content(self, digest: Digest, size: int) -> StoredBlob:
        return StoredBlob(
            blob_name(digest), size, digest=digest, open=lambda: self._store.open(digest)
        )


class LooseContents:
    """The files of a ``dir:`` image."""

    def __init__(self, path: Path, *, follow_links: bool = False) -> None:
        self._path = path
        self._follow_links = follow_links

    def read(self, name: str) -> bytes | None:
        """Return the document *name*, or None if it is missing."""
        return _read(self._path, name, follow_links=self._follow_links)

    def blob(self, digest: Digest) -> tuple[StoredBlob, ...]:
        """Return the files stored as the blob or as the manifest *digest*."""
        names = (loose_blob_name(digest), loose_manifest_name(digest))
        return tuple(content for name in names if (content := self._find(name)))

    def place(self, digest: Digest) -> str:
        """Return the name that the file of the blob has or should have, for findings."""
        return loose_blob_name(digest)

    def stored(self) -> Iterator[StoredBlob]:
        """Iterate over all files that are named after a digest."""
        for name in sorted(path.name for path in self._path.iterdir()):
            with suppress(TarkitError):
                if _loose_digest(name) and (content := self._find(name)):
                    yield content

    def _find(self, name: str) -> StoredBlob | None:
        path = self._path / name
        status = find_regular(
            path, self._path, follow_links=self._follow_links, hint=FOLLOW_LINKS_HINT
        )
        if status is None:
            return None
        digest = _loose_digest(name)
        return StoredBlob(name, status.st_size, digest=digest, open=lambda: open_regular(path))


def _read(directory: Path, name: str, *, follow_links: bool) -> bytes | None:
    try:
        return read_file(_checked(directory, name, follow_links=follow_links), METADATA_LIMIT)
    except PathNotFoundError:
        return None


def _checked(directory: Path, name: str, *, follow_links: bool) -> Path:
    """Return the path of *name*; refuse links out of *directory* unless *follow_links*."""
    path = directory / name
    if follow_links:
        return path
    try:
        require_inside(path, directory, hint=FOLLOW_LINKS_HINT)
    except UnsafePathError as error:
        error.where = name
        raise
    return path


def _blob_digest(name: str) -> Digest | None:
    top, _, rest = name.partition("/")
    algorithm, _, value = rest.partition("/")
    return Digest.from_parts(algorithm, value) if top == "blobs" else None


def _loose_digest(name: str) -> Digest | None:
    algorithm, dash, value = name.removesuffix(_MANIFEST_SUFFIX).rpartition("-")
    return Digest.from_parts(algorithm if dash else "sha256", value)
