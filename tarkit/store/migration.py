"""Make a store from one of an older version, or from an OCI layout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import PathNotFoundError
from tarkit.layout.layout import INDEX_FILE, MARKER_FILE
from tarkit.store import content, layers, record_files
from tarkit.store.database import copy_database
from tarkit.store.links import replace_by_link
from tarkit.store.repair import repair_store
from tarkit.store.store import DATABASE, STAGING, Store
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import staging_directory

_NEW = "store"
_TREES = ("blobs", content.DIRECTORY, layers.DIRECTORY, record_files.DIRECTORY)


def migrate_store(source: str | Path, target: str | Path) -> bool:
    """Copy the store or OCI layout *source* to *target*, as a store of this version.

    Files become hard links if possible, and *source* stays. The new store appears by one rename, so
    an interrupted migration can be repeated. Return False and do nothing if *target* exists.

    Raises :class:`PathNotFoundError` if there is no *source*, :class:`MalformedError` if it is no
    layout or its database is damaged, and :class:`UnsupportedError` if it is of a newer version.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        return False
    if not source.is_dir():
        raise PathNotFoundError("no such directory", where=str(source))
    Store(source, writable=False).names.layout()  # raises, unless it is a layout
    above = target.absolute().parent
    with os_errors(above):
        above.mkdir(parents=True, exist_ok=True)
        parent = Directory.open(above)
    with parent, staging_directory(parent) as staging, os_errors(source):
        with staging.make(_NEW) as new:
            with Directory.open(source) as old, locked_directory(old):
                _copy(source, new.path)
            _complete(new.path)
            new.sync()
            made = new.status()
        staging.publish(_NEW, parent, target.name, expected=made)
    return True


def _copy(source: Path, target: Path) -> None:
    """Copy everything except the files of running processes."""
    for path in _files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_by_link(path, copy)
    for path in sorted((source / STAGING).glob("*/*"), reverse=True):  # a journal before its data
        copy = target / path.relative_to(source)
        copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(path, copy)  # never linked: changes are appended
    for name in (INDEX_FILE, MARKER_FILE):  # never linked: other tools may write in place
        shutil.copyfile(source / name, target / name)
    if (source / DATABASE).is_file():
        copy_database(source / DATABASE, target / DATABASE)


def _files(source: Path) -> Iterator[Path]:
    for tree in _TREES:
        for path in (source / tree).rglob("*"):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                yield path


def _complete(root: Path) -> None:
    """Bring the copy at *root* up to date."""
    if not (root / DATABASE).is_file():
        repair_store(root)
        return
    with Store.open(root, create=False) as store:
        with store.records.transaction() as change:
            change.release(*store.records.dead_holds())
        store.sweep()
        with store.names.locked():
            store.names.relink(store.names.layout())
