"""Refs as real directories, for processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tarkit.cache import facts
from tarkit.cache.cache import Cache
from tarkit.cache.chains import layer_chain
from tarkit.cache.facts import text_of
from tarkit.cache.options import DescHandlers
from tarkit.errors import LockedError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.mounts.mounts import MountedDirectory, Mounts
from tarkit.rootfs.writable.filesystem import WritableFileSystem
from tarkit.store.record import Record
from tarkit.streams.os_errors import os_errors

DIRECTORY = "mounts"


@contextmanager
def mount_immutable(cache: Cache, record: Record, handlers: DescHandlers) -> Iterator[Path]:
    """Provide an immutable ref as a directory for the block; changes are refused or lost."""
    key = _key(cache, record, handlers)
    with cache.snapshots.files(record, handlers) as files, ExitStack() as stack:
        yield _mount(cache, files, key, stack, writable=False).path


@contextmanager
def mount_mutable(
    cache: Cache,
    record: Record,
    files: WritableFileSystem,
    *,
    writable: bool,
    handlers: DescHandlers,
) -> Iterator[Path]:
    """Provide a mutable ref as a directory; if *writable*, stage the changes at the end of the block."""
    parent = None
    if not files.is_changed and record.parents:
        parent = cache.ledger.find(record.parents[0])
    key = _key(cache, parent, handlers) if parent is not None else None
    with ExitStack() as stack:
        mounted = _mount(cache, files, key, stack, writable=writable)
        yield mounted.path
        if writable:
            mounted.capture(files)


def _mount(
    cache: Cache, files: FileSystem, key: str | None, stack: ExitStack, *, writable: bool
) -> MountedDirectory:
    """Mount *files* until *stack* is closed; only errors of mounting are translated."""
    with os_errors(cache.store.root / DIRECTORY):
        return stack.enter_context(_mounts(cache).mount(files, key, writable=writable))


def discard_unneeded(cache: Cache) -> None:
    """Remove the mounts of killed processes, and the unpacked directories of refs that are gone."""
    if (cache.store.root / DIRECTORY).is_dir():
        mounts = _mounts(cache)
        mounts.sweep()
        needed = {text_of(record, facts.TREE) for record in cache.ledger.records.all()}
        discard(mounts, set(mounts.keys()) - needed)


def discard(mounts: Mounts, keys: set[str]) -> None:
    """Remove the unpacked directories *keys*, except those that a process uses."""
    for key in keys:
        with suppress(LockedError):
            mounts.discard(key)


def _mounts(cache: Cache) -> Mounts:
    return Mounts(cache.store.root / DIRECTORY)


def _key(cache: Cache, record: Record, handlers: DescHandlers) -> str:
    """Return the key of the unpacked directory of a ref, and note that the ref needs it."""
    links = layer_chain(record, cache.ledger.find)
    layers = [str(cache.snapshots.placed(link, handlers).diff_id) for link in links]
    key = hashlib.sha256(" ".join(layers).encode()).hexdigest()
    if text_of(record, facts.TREE) != key:
        with cache.ledger.change() as change:
            change.update(record.id, {facts.TREE: key}, lasting=False)
    return key
