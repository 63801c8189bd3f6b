"""Garbage collection: remove everything that no root needs.

The roots are the names, the leases of living processes, the records, and references that the caller
passes. :func:`plan` only reads; :func:`collect` does the same under all locks, then removes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from tarkit.errors import NoSpaceError
from tarkit.image.digest import Digest
from tarkit.store import ingest
from tarkit.store.content import Blob
from tarkit.store.layers import StoredLayer
from tarkit.store.links import QUARANTINE
from tarkit.store.store import Store
from tarkit.streams.locking import is_locked
from tarkit.values import dataclass

_AGE = 86_400  # seconds that unfinished and corrupt files are kept
_LEFTOVERS = (
    f"{ingest.DIRECTORY}/*", f"{QUARANTINE}/*", ".tarkit-*.tmp", "layers/.tarkit-*",
    "content/*/.tarkit-*", "blobs/*/.tarkit-*", "records/*/.tarkit-*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Garbage:
    """Content that no root needs: ``blobs`` and ``layers``, which have ``bytes`` in total."""

    blobs: tuple[Blob, ...]
    layers: tuple[StoredLayer, ...]

    @property
    def bytes(self) -> int:
        """The bytes that removing it frees, unless a blob and a layer are the same file."""
        return sum(blob.size for blob in self.blobs) + sum(layer.size for layer in self.layers)


def plan(
    store: Store,
    *,
    roots: Iterable[str] = (),
    derived: bool = False,
    only: Collection[Digest] | None = None,
) -> Garbage:
    """Return the content that :func:`collect` would remove.

    *roots* are more items to keep: digests of blobs, and ``layer:KEY``. A derived layer is kept
    with its blob or, if *derived*, only if an item names it. With *only*, nothing but these blobs
    and their layers is considered. Raises :class:`VerificationError` or :class:`RefusedError` if an
    index or manifest is unreadable, since its references are unknown.
    """
    items = {*roots, *_items(store)}
    kept = {str(digest) for digest in store.names.reachable()} | items
    candidates = store.content.blobs() if only is None else _some(store, only)
    blobs = tuple(blob for blob in candidates if str(blob.digest) not in kept)
    plain = _plain_of(store, kept)
    layers = tuple(
        layer
        for layer in store.layers.all()
        if layer.item not in items
        and (derived or not layer.derived or layer.diff_id not in plain)
        and (only is None or layer.derived)
    )
    return Garbage(blobs, layers)


def collect(
    store: Store,
    *,
    roots: Iterable[str] = (),
    derived: bool = False,
    only: Collection[Digest] | None = None,
) -> Garbage:
    """Remove content that no root needs; return it. For parameters and errors see :func:`plan`.

    Copies may run at the same time: their processes lease the content that they use. Programs that
    write to the directory without its lock, such as skopeo, must not. On a full disk, unfinished
    downloads and derived layers are removed first.
    """
    try:
        return _collect(store, roots, derived, only)
    except NoSpaceError:
        _remove_leftovers(store.root, age=0)
        store.layers.remove_derived_files()
        return _collect(store, roots, derived, only)


def _collect(
    store: Store, roots: Iterable[str], derived: bool, only: Collection[Digest] | None
) -> Garbage:
    with store.names.locked(), store.database.write():
        store.database.require_sound()
        store.sweep()
        garbage = plan(store, roots=roots, derived=derived, only=only)
        for layer in garbage.layers:
            store.layers.remove(layer.key)
        for blob in garbage.blobs:
            store.content.remove(blob.digest)
        if only is None:
            store.names.tidy(store.names.reachable())
            store.content.forget_missing()
            store.layers.remove_unrecorded()
            _remove_leftovers(store.root, age=_AGE)
    return garbage


def _items(store: Store) -> set[str]:
    leased = {item for lease in store.leases.all() for item in lease.items}
    return leased | store.records.contents()


def _some(store: Store, digests: Collection[Digest]) -> list[Blob]:
    sizes = {digest: store.content.size(digest) for digest in sorted(digests)}
    return [Blob(digest, size, 0.0) for digest, size in sizes.items() if size is not None]


def _plain_of(store: Store, kept: Collection[str]) -> set[Digest]:
    """Return the diff IDs of the blobs *kept*."""
    rows = store.database.rows("SELECT digest, diff_id FROM plain")
    return {Digest.parse(diff_id) for digest, diff_id in rows if digest in kept}


def _remove_leftovers(root: Path, *, age: float) -> None:
    """Remove leftovers of killed processes and corrupt files, if at least *age* seconds old."""
    before = time.time() - age
    for pattern in _LEFTOVERS:
        for path in root.glob(pattern):
            with suppress(OSError):
                if path.stat().st_mtime > before:
                    continue
                if path.is_dir():  # of an unfinished file
                    shutil.rmtree(path, ignore_errors=True)
                elif not is_locked(path):
                    path.unlink()
