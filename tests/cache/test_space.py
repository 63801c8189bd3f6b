"""The space of a whole store, and its prune: derived layers first, images never."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.cache.manager import CacheManager
from tarkit.cache.policies import PrunePolicy
from tests.cache.refs import Blob, made
from tests.store.images import content_of, copy_in, layout_at

FILES = {"a": b"a" * 5000, "b": b"b" * 7000}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with an image that was read, an idle ref, and a ref with an extracted blob."""
    root = tmp_path / "store"
    copy_in(root, layout_at(tmp_path / "image", "image", FILES), "image")
    assert content_of(root, "image") == FILES
    with CacheManager.open(root) as manager:
        made(manager, "own").finalize()
        blob = Blob({"c": "c" * 3000})
        manager.get_by_blob(blob.put(manager)).extract()
    return root


def test_each_byte_has_one_purpose(root: Path) -> None:
    with CacheManager.open(root) as manager:
        usage = manager.store_usage()
        on_disk = {
            path.stat().st_ino: path.stat().st_size
            for pattern in ("content/*/*", "layers/*.tar")
            for path in root.glob(pattern)
        }
        assert usage.total == sum(on_disk.values())
        assert usage.images == sum(path.stat().st_size for path in root.glob("blobs/*/*"))
        assert usage.pulled == usage.unneeded == 0
        assert usage.derived > 0
        assert len(usage.refs) == 2


def test_prune_without_limits_keeps_only_images(root: Path) -> None:
    with CacheManager.open(root) as manager:
        before = manager.store_usage()
        dry = manager.prune_store(PrunePolicy(), dry_run=True)
        assert manager.store_usage() == before
        done = manager.prune_store(PrunePolicy())
        after = manager.store_usage()
        assert dry.bytes == done.bytes == before.total - after.total
        assert (after.total, after.images) == (before.images, before.images)
        assert after.refs == ()
    assert content_of(root, "image") == FILES


def test_derived_layers_go_before_refs(root: Path) -> None:
    with CacheManager.open(root) as manager:
        before = manager.store_usage()
        keep = before.total - before.derived + 1
        manager.prune_store(PrunePolicy(max_used=keep))
        after = manager.store_usage()
        assert (len(after.refs), after.derived) == (2, 0)
        manager.prune_store(PrunePolicy(max_used=after.total))
        assert len(manager.store_usage().refs) == 2
        manager.prune_store(PrunePolicy(max_used=after.total - 1))
        assert len(manager.store_usage().refs) == 1
        manager.prune_store(PrunePolicy(max_used=1 << 40))
        assert len(manager.store_usage().refs) == 1


def test_the_commands(root: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., str]) -> None:
    monkeypatch.setenv("TARKIT_STORE", str(root))
    usage = json.loads(run("store", "du", "--json"))
    assert (
        sum(size for name, size in usage["bytes"].items() if name != "total")
        == (usage["bytes"]["total"])
    )
    ids = [ref["id"] for ref in usage["refs"]]
    assert len(ids) == 2
    assert ids[0] in run("store", "du", "-v")
    assert ids[1] not in run("store", "du", "--filter", f"id=={ids[0]}")
    explained = run("store", "prune", "--dry-run", "--explain", "--keep-duration", "1h")
    assert explained.count("keep") == 2
    assert "used" in explained
    assert json.loads(run("store", "prune", "--json", "--min-free", "1K"))["refs"] == []
    pruned = json.loads(run("store", "prune", "--json"))
    assert sorted(ref["id"] for ref in pruned["refs"]) == sorted(ids)
    assert pruned["removed"] is True
    assert json.loads(run("store", "du", "--json"))["refs"] == []
