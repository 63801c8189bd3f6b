"""Migration of a store with refs."""

from __future__ import annotations

from pathlib import Path

from tarkit.cache.manager import CacheManager
from tarkit.store.migration import migrate_store
from tests.cache.refs import RETAIN, made


def test_refs_and_staged_changes_survive_a_migration(root: Path, tmp_path: Path) -> None:
    with CacheManager.open(root) as manager:
        kept = made(manager, "kept")
        kept.finalize()
        active = manager.new(kept, RETAIN)
        active.files.write("staged", b"staged")
    target = tmp_path / "migrated"
    assert migrate_store(root, target)
    assert not migrate_store(root, target)
    for store in (root, target):  # they are independent
        with CacheManager.open(store) as manager, manager.get_mutable(active.id) as again:
            assert again.files.read_text("kept") == "kept"
            assert again.files.read_text("staged") == "staged"
            again.files.write("staged", str(store).encode())
    for store in (root, target):
        with CacheManager.open(store) as manager, manager.get(active.id) as ref:
            assert ref.files.read_text("staged") == str(store)
