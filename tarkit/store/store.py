"""The store: one directory for content, layers, records and named images.

::

    oci-layout, index.json    named images, as an OCI image layout that other tools can read
    blobs/ALGORITHM/HEX       the content of named images: hard links into content/
    content/ALGORITHM/HEX     all blobs
    layers/KEY.tar, KEY.idx   plain tars by diff ID or by a key of a cache, and their indexes
    records/XX/ID.json        committed records
    tarkit.db                 everything above as a database, with leases and holds
    holders/ID                locked by the process that has the store open
    ingest/ALGORITHM-HEX      unfinished blobs, locked while they are written
    quarantine/               corrupt blobs
    staging/ID/               staged changes of a mutable ref (:mod:`tarkit.cache`)
    mounts/                   root filesystems as directories (:mod:`tarkit.rootfs.mounts`)
    artifacts/                filesystem images (:mod:`tarkit.artifacts`)

Locks, in the order in which they are taken: the directory itself (``index.json`` and ``blobs/``), an
ingest, a database transaction. Files are written before the rows that name them, and removed inside
the transaction that removes the rows. A process that dies leaves at most files without rows, which
``repair`` finds, and unfinished blobs, which the next attempt continues.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tarkit.errors import PathNotFoundError, RefusedError, TarkitError
from tarkit.image.digest import Digest
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.store import holders
from tarkit.store.content import Content
from tarkit.store.database import Database
from tarkit.store.holders import Holder
from tarkit.store.layers import Layers
from tarkit.store.leases import Leases
from tarkit.store.names import Names
from tarkit.store.records import Records
from tarkit.streams.atomic import write_file
from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import is_vacant

DATABASE = "tarkit.db"
STAGING = "staging"  # of the cache, which changes these files in place
_UNFINISHED = {"artifacts", INDEX_FILE, DATABASE, f"{DATABASE}-journal"}
"""Entries of a directory that may become a store: of an interrupted start, and artifacts."""


class Store(Closeable):
    """An open store; a context manager, safe to use from several threads, not in a forked child.

    ``content`` has the blobs, ``layers`` the plain tars and their indexes, ``leases`` the leases
    that keep them, ``names`` the named images, and ``records`` the records of a cache.
    """

    def __init__(self, root: Path, *, writable: bool = True) -> None:
        self.root = root
        self.writable = writable
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._open_holder: Holder | None = None
        self._session: str | None = None
        self.database = self._stack.enter_context(
            Database(root / DATABASE, writable=writable, on_open=self._begin)
        )
        self.leases = Leases(self.database, root, self.holder)
        self.content = Content(root, self.database, self.keep)
        self.layers = Layers(self.content, self.database, self.keep)
        self.names = Names(self.content)
        self.records = Records(self.database, root, self.holder)

    @classmethod
    def open(cls, root: str | Path, *, create: bool = True) -> Self:
        """Open the store at *root*; an empty or missing directory becomes one if *create*.

        The store is read-only if the directory is. The database is opened on first use. Raises
        :class:`PathNotFoundError`, and :class:`RefusedError` if the directory is anything else.
        """
        root = Path(root)
        with os_errors(root):
            if create and not root.exists():
                root.mkdir(mode=0o755, parents=True)
            if not root.is_dir():
                raise PathNotFoundError("no such store", where=str(root))
            writable = os.access(root, os.W_OK | os.X_OK)
            if not (root / MARKER_FILE).is_file():
                _initialise(root, create and writable)
        return cls(root, writable=writable)

    def holder(self) -> str:
        """Return the ID of this open store, which names it in leases and holds."""
        with self._lock:
            if self._open_holder is None:
                if not self.writable:
                    raise RefusedError("the store is read-only", where=str(self.root))
                self._open_holder = self._stack.enter_context(Holder(self.root))
            return self._open_holder.id

    def keep(self, item: str) -> None:
        """Keep a blob (its digest) or a layer (``layer:KEY``) until this open store is closed."""
        self.leases.add(self._session_lease(), item)

    def close_with(self, closeable: Closeable) -> None:
        """Close *closeable* before the store is closed."""
        self._stack.enter_context(closeable)

    def let_go(self, *items: str) -> None:
        """Stop keeping *items* for this open store."""
        if self._session is not None:
            self.leases.drop(self._session, *items)

    def has(self, item: str) -> bool:
        """Return True if a blob (its digest) or a layer (``layer:KEY``) exists."""
        kind, _, key = item.partition(":")
        if kind == "layer":
            return self.layers.path(key).is_file()
        return self.content.size(Digest.parse(item)) is not None

    def sweep(self) -> None:
        """Release the leases and holder files of ended processes.

        Their holds stay until the cache releases them; see :meth:`Records.dead_holds`.
        """
        self.leases.sweep()
        if not self.records.dead_holds():
            holders.sweep(self.root)

    def close(self) -> None:
        """Close the store: its leases and holds end."""
        session, self._session = self._session, None
        try:
            if session is not None:
                self.leases.delete(session)
        except TarkitError:  # it ends with the holder
            pass
        finally:
            self._stack.close()

    def _begin(self) -> None:
        """Mark the store as open before opening the database, so that no process rebuilds it."""
        if self.writable:
            self.holder()

    def _session_lease(self) -> str:
        """Return the lease that keeps everything that this open store adds, until it is closed."""
        holder = self.holder()
        with self._lock:
            if self._session is not None:
                return self._session
        session = self.leases.create(f"session-{holder}")
        self._session = session
        return session


def _initialise(root: Path, create: bool) -> None:
    """Make the empty directory *root* a store, or raise :class:`RefusedError`."""
    with Directory.open(root) as directory:
        if not create:
            raise PathNotFoundError("not a store", where=str(root))
        with locked_directory(directory):
            if directory.lookup(MARKER_FILE) is not None:
                return
            if set(directory.names()) - _UNFINISHED and not is_vacant(directory):
                raise RefusedError(
                    "exists and is not a store", where=str(root),
                    hint="name a new or empty directory",
                )  # fmt: skip
            with Database(root / DATABASE) as database:
                database.create()
            write_file(directory, INDEX_FILE, EMPTY_INDEX.serialize().data)
            write_file(directory, MARKER_FILE, MARKER)  # last, when everything else exists
