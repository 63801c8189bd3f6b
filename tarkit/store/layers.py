"""Layers as plain tars, with indexes of their entries.

``layers/KEY.tar`` is the uncompressed tar, ``layers/KEY.idx`` its index
(:mod:`tarkit.tar.listing_file`), and ``layers/KEY.sum`` has a digest for each file
(:mod:`tarkit.store.sums`).
The key is usually the diff ID; a cache may use a key of its own for a layer that it wrote. A tar is
*derived* if a blob can recreate it, and may then be removed at any time. Otherwise it is content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from tarkit.errors import MalformedError, PathNotFoundError, TarkitError
from tarkit.image.digest import Digest
from tarkit.store.content import Content
from tarkit.store.database import Database
from tarkit.store.ingest import DIRECTORY as INGEST
from tarkit.store.links import last_use, touch
from tarkit.store.record import check_id
from tarkit.store.sums import Sums, pack_sums, read_sum
from tarkit.streams.atomic import PendingFile, write_file
from tarkit.streams.chunks import Readable, chunks_of
from tarkit.streams.codecs import SNIFF_SIZE, Compression, decompress, detect
from tarkit.streams.directory import Directory
from tarkit.streams.files import open_regular, read_file
from tarkit.streams.locking import locked_file
from tarkit.streams.os_errors import os_errors
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.data import FileData
from tarkit.tar.listing import Listing
from tarkit.tar.listing_file import pack, unpack
from tarkit.tar.reader import TarReader
from tarkit.values import dataclass

DIRECTORY = "layers"
_INDEX_LIMIT = 1 << 30  # bytes of an index


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer in a store.

    ``diff_id`` is the digest of its plain tar of ``size`` bytes, ``used`` its last use in seconds
    since the epoch; ``derived`` is true if a blob can recreate the tar.
    """

    key: str
    diff_id: Digest
    size: int
    derived: bool
    used: float = 0.0

    @property
    def item(self) -> str:
        """The layer as an item of leases and of the contents of records."""
        return f"layer:{self.key}"


class WrittenTar(Protocol):
    """A plain tar that was written: its digest, its size in bytes, and its members."""

    @property
    def diff_id(self) -> Digest: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def listing(self) -> Listing: ...  # noqa: D102


class Layers:
    """The layers below the root of *content*; *database* has their diff IDs and last uses.

    *keep* keeps an item while the store is open.
    """

    def __init__(self, content: Content, database: Database, keep: Callable[[str], object]) -> None:
        self._content = content
        self._database = database
        self._keep = keep
        self._root = content.root / DIRECTORY

    def path(self, key: str | Digest) -> Path:
        """Return the path of the plain tar, which need not exist."""
        return self._path(key, "tar")

    def get(self, key: str | Digest) -> StoredLayer | None:
        """Return the layer with that key, or None if it is missing."""
        return next(self._existing("WHERE key = ?", str(key)), None)

    def present(self, diff_id: Digest) -> StoredLayer | None:
        """Return the layer stored under its diff ID, judging by its file alone, or None."""
        try:
            size = self.path(diff_id).stat().st_size
        except FileNotFoundError:
            return None
        return StoredLayer(str(diff_id), diff_id, size, derived=True)

    def hold(self, layer: StoredLayer) -> bool:
        """Keep *layer* while the store is open; return False if it has been removed."""
        self._keep(layer.item)
        return self.path(layer.key).is_file()

    def find(self, diff_id: Digest) -> StoredLayer | None:
        """Return a layer with that diff ID under any key, or None."""
        return next(self._existing("WHERE diff_id = ?", str(diff_id)), None)

    def all(self) -> list[StoredLayer]:
        """Return all layers in the order of their keys."""
        return list(self._existing())

    def open(self, key: str | Digest) -> BinaryIO:
        """Open the plain tar for random access, unverified; raises :class:`PathNotFoundError`.

        It stays readable even if the layer is removed meanwhile.
        """
        return open_regular(self.path(key))

    def listing(self, layer: StoredLayer) -> Listing:
        """Return the entries of *layer*, from its index if that is intact.

        Otherwise the tar is parsed again, and the index written again if the store is writable.
        Raises :class:`MalformedError` if the tar is broken.
        """
        with suppress(MalformedError, PathNotFoundError):
            return unpack(read_file(self._path(layer.key, "idx"), _INDEX_LIMIT), layer.diff_id)
        with self.open(layer.key) as file:
            return self._index(layer.key, layer.diff_id, file, optional=True)

    def file_digest(self, layer: StoredLayer, position: int) -> bytes | None:
        """Return the SHA-256 digest of the stored data of the entry at *position*, if known."""
        return read_sum(self._path(layer.key, "sum"), layer.diff_id, position)

    def file_digests(self, layer: StoredLayer) -> Callable[[int], bytes | None]:
        """Return :meth:`file_digest` for many entries of *layer*: its file is read once, when needed."""
        return Sums(self._path(layer.key, "sum"), layer.diff_id).find

    def extract(self, digest: Digest, diff_id: Digest) -> StoredLayer:
        """Return the layer *diff_id*; make it from the blob *digest* unless it is present.

        Raises :class:`BlobNotFoundError` if the blob is missing, and :class:`VerificationError` if
        it is corrupt or its plain form is another.
        """
        found = self.get(diff_id)
        if found is not None and self.hold(found):
            return found
        with self._alone(diff_id):
            found = self.get(diff_id)  # another process may have made it meanwhile
            if found is not None and self.hold(found):
                return found
            return self._extract(digest, diff_id)

    def _extract(self, digest: Digest, diff_id: Digest) -> StoredLayer:
        with self._content.reader(digest) as blob:
            where = f"{self._root.parent}: layer {digest}"
            compression = detect(blob.peek(SNIFF_SIZE))
            if compression is Compression.NONE and digest == diff_id:
                return self._link(digest, blob)
            plain = decompress(blob, compression, where=where)
            layer = self._write(diff_id, plain, diff_id=diff_id, derived=True)
            blob.verify()
        self._content.set_diff_id(digest, diff_id)
        return layer

    def write(
        self, key: str | Digest, stream: Readable, *, diff_id: Digest | None = None, derived: bool
    ) -> StoredLayer:
        """Store the plain tar *stream* under *key*, with its index; replace an existing one.

        It stays while the store is open, then as long as a record or lease needs it; a derived one
        stays until it is pruned. Raises :class:`DigestMismatchError` unless its digest is
        *diff_id*, and :class:`MalformedError` if it is not a tar; nothing is kept then.
        """
        with self._alone(key):
            return self._write(key, stream, diff_id=diff_id, derived=derived)

    def _write(
        self, key: str | Digest, stream: Readable, *, diff_id: Digest | None, derived: bool
    ) -> StoredLayer:
        self._keep(f"layer:{key}")
        where = f"{self._root.parent}: layer {key}"
        with VerifyingReader(stream, digest=diff_id, where=where) as plain, self._open() as layers:
            with PendingFile(layers, read_back=True) as pending:
                with os_errors(self.path(key)):
                    for chunk in chunks_of(plain):
                        pending.file.write(chunk)
                    pending.file.flush()
                self._index(key, plain.digest, pending.file)
                pending.publish(self.path(key).name)
            return self._record(key, plain.digest, plain.size, derived=derived)

    @contextmanager
    def writing(
        self,
        write: Callable[[BinaryIO], WrittenTar],
        *,
        key: str | None = None,
        derived: bool = False,
    ) -> Iterator[Callable[[], StoredLayer]]:
        """Call *write* to write a plain tar; in the block, the yielded function stores it.

        The *key* is its diff ID by default.
        Call it in the transaction that puts a record with the layer, so that it is never garbage.
        """
        with self._open() as layers, PendingFile(layers, read_back=True) as pending:
            written = write(pending.file)
            with os_errors(self._root):
                pending.file.flush()
            name = key or written.diff_id

            def publish() -> StoredLayer:
                if not self.path(name).is_file():
                    self._write_index(name, written.diff_id, pending.file, written.listing)
                    pending.publish(self.path(name).name)
                return self._record(name, written.diff_id, written.size, derived=derived)

            with self._alone(name):
                yield publish

    @contextmanager
    def _alone(self, key: str | Digest) -> Iterator[None]:
        """Lock the layer *key*, so that one thread of all processes makes it; do not nest."""
        directory = self._content.root / INGEST
        path = directory / f"layer-{self.path(key).stem}"
        with os_errors(path):
            directory.mkdir(mode=0o700, exist_ok=True)
            file = locked_file(path)
        with file:
            try:
                yield
            finally:
                path.unlink(missing_ok=True)

    def remove(self, key: str | Digest) -> None:
        """Remove a layer; do nothing if it is missing."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM layers WHERE key = ?", (str(key),))
            for path in (self._path(key, kind) for kind in ("tar", "idx", "sum")):
                with os_errors(path):
                    path.unlink(missing_ok=True)

    def remove_derived_files(self) -> None:
        """Remove the plain tars of derived layers without touching the database."""
        for layer in self.all():
            if layer.derived:
                for kind in ("tar", "idx", "sum"):
                    with os_errors(self._root):
                        self._path(layer.key, kind).unlink(missing_ok=True)

    def remove_unrecorded(self) -> None:
        """Remove files of layers that the database does not have: leftovers of killed processes."""
        with self._database.write():
            known = {key for (key,) in self._database.rows("SELECT key FROM layers")}
            leased = {item for (item,) in self._database.rows("SELECT item FROM leased")}
            for path in self._root.glob("[!.]*"):
                key = _key(path.stem)
                if key not in known and f"layer:{key}" not in leased:
                    with os_errors(path):
                        path.unlink(missing_ok=True)

    def touch(self, key: str | Digest) -> None:
        """Set the last use of a layer to now."""
        touch(self.path(key))

    def recover(self, key: str) -> StoredLayer:
        """Check a plain tar and its index, and record it in the database, for ``repair``.

        Raises :class:`VerificationError` if the tar is not the one that was stored.
        """
        known = self.get(key)
        expected = known.diff_id if known else _digest(key)
        with VerifyingReader(self.open(key), digest=expected) as reader:
            reader.verify()
            diff_id, size = reader.digest, reader.size
        if known is None:
            if expected is None and (index := self._path(key, "idx")).is_file():
                unpack(read_file(index, _INDEX_LIMIT), diff_id)
            known = self._record(key, diff_id, size, derived=self.is_derived(key))
        self.listing(known)
        return known

    def is_derived(self, key: str) -> bool:
        """Return True if a blob can recreate the layer."""
        diff_id = _digest(key)
        return diff_id is not None and bool(self._content.with_diff_id(diff_id))

    def missing(self) -> list[StoredLayer]:
        """Return the layers in the database whose plain tars are missing."""
        rows = self._database.rows(f"{_SELECT} ORDER BY key")
        return [_layer(row, 0.0) for row in rows if not self.path(row[0]).is_file()]

    def files(self) -> Iterator[str]:
        """Yield the keys of all plain tars on disk, in order."""
        for path in sorted(self._root.glob("*.tar")):
            yield _key(path.stem)

    def _link(self, digest: Digest, blob: VerifyingReader) -> StoredLayer:
        """Store a blob that is a plain tar as a layer: the same file under another name."""
        self._keep(f"layer:{digest}")
        blob.verify()
        path = self.path(digest)
        with self._open(), os_errors(path), suppress(FileExistsError):
            os.link(self._content.file(digest), path)
        self._content.set_diff_id(digest, digest)
        layer = self._record(digest, digest, blob.size, derived=True)
        self.listing(layer)
        return layer

    def _record(
        self, key: str | Digest, diff_id: Digest, size: int, *, derived: bool
    ) -> StoredLayer:
        row = (str(key), str(diff_id), size, derived)
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO layers VALUES (?, ?, ?, ?)", row)
        return _layer(row, last_use(self.path(key)) or 0.0)

    def _existing(self, where: str = "", *values: str) -> Iterator[StoredLayer]:
        """Yield the layers that *where* selects and whose plain tars exist."""
        for row in self._database.rows(f"{_SELECT} {where} ORDER BY key", *values):
            used = last_use(self.path(row[0]))
            if used is not None:
                yield _layer(row, used)

    def _index(
        self, key: str | Digest, diff_id: Digest, file: BinaryIO, *, optional: bool = False
    ) -> Listing:
        """Parse the plain tar *file*, write its index and digests, and return the entries.

        If *optional*, a failure to write them is not an error.
        """
        where = f"{self._root.parent}: layer {key}"
        listing = TarReader(FileData(file, where).tape(), where=where).listing()
        try:
            self._write_index(key, diff_id, file, listing)
        except TarkitError:
            if not optional:
                raise
        return listing

    def _write_index(
        self, key: str | Digest, diff_id: Digest, file: BinaryIO, listing: Listing
    ) -> None:

        parts = {"sum": pack_sums(file, listing, diff_id), "idx": pack(listing, diff_id)}
        with self._open() as layers:
            for kind, data in parts.items():  # only an optimisation, so they may be lost
                name = self._path(key, kind).name
                write_file(layers, name, data, durable=False, sync=False)

    def _path(self, key: str | Digest, kind: str) -> Path:
        """Return the path of a file; its name has no colon, which Windows reserves."""
        return self._root / f"{check_id(str(key)).replace(':', '=')}.{kind}"

    def _open(self) -> Directory:
        with os_errors(self._root):
            self._root.mkdir(mode=0o755, exist_ok=True)
            return Directory.open(self._root)


_SELECT = "SELECT key, diff_id, size, derived FROM layers"


def _layer(row: Any, used: float) -> StoredLayer:
    key, diff_id, size, derived = row
    return StoredLayer(key, Digest.parse(diff_id), size, bool(derived), used)


def _digest(key: str) -> Digest | None:
    """Return *key* as a diff ID, or None if it is a key of a cache."""
    return Digest.from_parts(*key.split(":", 1)) if ":" in key else None


def _key(name: str) -> str:
    return name.replace("=", ":")
