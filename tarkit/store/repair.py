"""Rebuild the lost parts of a store from the others, and move damaged files aside.

The database is made again from blobs, layers, images and the files of records; labels, leases and
times of use are lost with it. Everything that cannot be recovered is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tarkit.errors import LockedError, PathNotFoundError, TarkitError, VerificationError
from tarkit.image.digest import Digest
from tarkit.layout.entries import EMPTY_INDEX
from tarkit.layout.known_layers import layers_by_diff_id
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE
from tarkit.store import holders
from tarkit.store.content import DIRECTORY as CONTENT
from tarkit.store.database import Database
from tarkit.store.leases import PULLED
from tarkit.store.links import move_aside
from tarkit.store.record import Record
from tarkit.store.record_files import RecordFiles
from tarkit.store.store import DATABASE, Store
from tarkit.store.verification import StoreProblem, incomplete
from tarkit.streams.atomic import write_file
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a repair.

    ``rebuilt`` is true if the database was made anew. ``blobs``, ``layers`` and ``records`` count
    the content of the repaired store, and ``lost`` lists content that could not be recovered.
    """

    rebuilt: bool
    blobs: int
    layers: int
    records: int
    lost: tuple[StoreProblem, ...]


def repair_store(root: str | Path) -> Repaired:
    """Repair the store at *root*; read all its content, and change nothing that is intact.

    Damaged files move to ``quarantine/``. Raises :class:`PathNotFoundError` if there is no store,
    :class:`UnsupportedError` if a newer version of tarkit wrote it, and :class:`LockedError` if
    another process has it open although its database must be rebuilt.
    """
    root = Path(root)
    lost = list(_documents(root))
    rebuilt = _put_database_aside(root)
    with Store.open(root, create=False) as store, store.names.locked():
        store.database.create()
        known = _diff_ids(store)
        for step in (_blobs, _layers, _records):
            lost += step(store, known, rebuilt)
        lost += _images(store)
        counts = len(store.content.blobs()), len(store.layers.all()), len(store.records.all())
    return Repaired(rebuilt, *counts, tuple(lost))


def _documents(root: Path) -> Iterator[StoreProblem]:
    """Write the marker and the index again if they are missing or broken."""
    if not (root / CONTENT).is_dir() and not (root / DATABASE).is_file():
        Store.open(root, create=False).close()  # raises, unless it is an empty store
        return
    with os_errors(root), Directory.open(root) as directory:
        if not (root / MARKER_FILE).is_file():
            write_file(directory, MARKER_FILE, MARKER)
        try:
            with Store.open(root, create=False) as store:
                store.names.layout()
        except VerificationError as error:
            move_aside(root, root / INDEX_FILE)
            write_file(directory, MARKER_FILE, MARKER)
            write_file(directory, INDEX_FILE, EMPTY_INDEX.serialize().data)
            yield StoreProblem(INDEX_FILE, f"the names of images are lost: {error.message}")


def _put_database_aside(root: Path) -> bool:
    """Move a damaged database to the quarantine; return True if a new one must be built."""
    path = root / DATABASE
    if not path.is_file():
        _require_alone(root)
        return True
    try:
        with Database(path) as database:
            if not database.check():
                return False
    except VerificationError:
        pass
    _require_alone(root)
    for suffix in ("-journal", "-wal", "-shm", ""):
        move_aside(root, path.with_name(path.name + suffix))
    return True


def _require_alone(root: Path) -> None:
    """Raise :class:`LockedError` if a process has the store open: it would write to the old file."""
    holders.sweep(root)
    if any((root / holders.DIRECTORY).glob("[!.]*")):
        raise LockedError(
            "another process has the store open",
            where=str(root),
            hint="wait until it has ended, then repair",
        )


def _diff_ids(store: Store) -> dict[Digest, Digest]:
    """Return the diff IDs of layers of named images by digest, as their configs state them."""
    known = layers_by_diff_id(store.names.layout())
    return {layer.digest: diff_id for diff_id, layers in known.items() for layer in layers}


def _blobs(store: Store, known: dict[Digest, Digest], rebuilt: bool) -> Iterator[StoreProblem]:
    for digest in list(store.content.walk()):
        moved = store.content.quarantine(digest)
        if moved is not None:
            yield StoreProblem(
                f"blob {digest}", "corrupt, moved to the quarantine", repairable=False
            )
            continue
        store.content.adopt(digest)
        if digest in known:
            store.content.set_diff_id(digest, known[digest])
    store.content.forget_missing()
    if rebuilt:  # the items of lost leases are unknown, so nothing may be garbage yet
        store.leases.create(PULLED, seconds=float("inf"))
        store.leases.add(PULLED, *map(str, store.content.walk()))


def _layers(store: Store, known: dict[Digest, Digest], rebuilt: bool) -> Iterator[StoreProblem]:
    for key in list(store.layers.files()):
        try:
            layer = store.layers.recover(key)
        except (VerificationError, PathNotFoundError) as error:
            derived = store.layers.is_derived(key)
            move_aside(store.root, store.layers.path(key))
            store.layers.remove(key)
            if not derived:
                yield StoreProblem(f"layer {key}", error.message, repairable=False)
        else:
            if rebuilt and not layer.derived:
                store.leases.add(PULLED, layer.item)
    for layer in store.layers.missing():
        store.layers.remove(layer.key)
        if not layer.derived:
            yield StoreProblem(f"layer {layer.key}", "its file is missing", repairable=False)


def _records(store: Store, known: dict[Digest, Digest], rebuilt: bool) -> Iterator[StoreProblem]:
    found: dict[str, tuple[Record, dict[str, bytes]]] = {}
    for path, record, externals in RecordFiles(store.root).read_all():
        if isinstance(record, TarkitError):
            move_aside(store.root, path)
            if rebuilt:
                yield StoreProblem(path.name, record.message, repairable=False)
        elif rebuilt:
            found[record.id] = record, externals
        elif store.records.get(record.id) is None:
            path.unlink()  # its transaction never committed, or its removal did
    if rebuilt:
        yield from _restore(store, found)
    with store.records.transaction() as change:
        for record in store.records.all():
            if record.committed:
                change.put(record)  # writes its file again


def _restore(
    store: Store, found: dict[str, tuple[Record, dict[str, bytes]]]
) -> Iterator[StoreProblem]:
    """Put the records whose contents and parents exist into the database."""
    usable = dict(found)

    def drop(is_lost: Callable[[Record], str]) -> Iterator[StoreProblem]:
        for record_id, (record, _) in list(usable.items()):
            if item := is_lost(record):
                del usable[record_id]
                RecordFiles(store.root).remove(record_id)
                yield StoreProblem(f"record {record_id}", f"{item} is missing", repairable=False)

    yield from drop(lambda record: next((i for i in record.contents if not store.has(i)), ""))
    count = -1
    while count != len(usable):  # a dropped record may be the parent of others
        count = len(usable)
        yield from drop(lambda record: next((p for p in record.parents if p not in usable), ""))
    with store.records.transaction() as change:
        for record, externals in usable.values():
            change.put(record)
            for key, value in externals.items():
                change.set_external(record.id, key, value)


def _images(store: Store) -> Iterator[StoreProblem]:
    layout = store.names.layout()
    store.names.relink(layout)
    yield from incomplete(layout)
