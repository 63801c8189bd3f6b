"""Keys and stores for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tarkit.solver.keys.kept import KeptStore
from tarkit.solver.keys.memory import MemoryStore
from tarkit.solver.keys.stores import KeyStore, Result, StoredKey, unite
from tarkit.store.store import Store

KINDS = ("memory", "kept")


@contextmanager
def opened(kind: str, directory: Path) -> Iterator[KeyStore]:
    """Open a store of keys; a kept one is that of *directory*."""
    if kind == "memory":
        yield MemoryStore()
        return
    with Store.open(directory / "store") as store:
        yield KeptStore(store.records)


def tree(store: KeyStore, key_id: str) -> object:
    """Return a stored key with all below it, without IDs."""
    key = stored(store, key_id)
    inputs = [
        sorted((link.selector, str(tree(store, link.source))) for link in links)
        for links in key.inputs
    ]
    return key.record, inputs, sorted((result.id, result.created) for result in key.results)


def stored(store: KeyStore, key_id: str) -> StoredKey:
    """Return a key that must be in the store."""
    key = store.get(key_id)
    assert key is not None
    return key


def add_result(store: KeyStore, key_id: str, result: Result) -> None:
    """Attach a result to a key of *store*."""
    key = stored(store, key_id)
    assert unite(store, key.record, key.inputs, result) == key_id
