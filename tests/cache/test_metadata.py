"""The metadata of refs, the ledger's states, users of containers, and lists of refs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tarkit.cache.facts import CachePolicy, RecordType, RefKind
from tarkit.cache.identity import IdentityMapping, IdRange
from tarkit.cache.ledger import RefState
from tarkit.cache.manager import CacheManager, is_not_found
from tarkit.cache.options import RefOptions
from tarkit.errors import LockedError, NotFoundError, RefusedError, UsageError
from tests.cache.refs import RETAIN, Blob, made

TIME = datetime(2030, 1, 2, tzinfo=UTC)


def test_options_become_metadata(manager: CacheManager) -> None:
    options = RefOptions(
        "text", TIME, "docker.io/library/a", RecordType.FRONTEND, CachePolicy.RETAIN, "type/x"
    )
    ref = manager.new(options=options)
    assert (ref.description, ref.created_at, ref.image_refs) == ("text", TIME, (options.image_ref,))
    assert (ref.record_type, ref.policy, ref.layer_type) == (
        RecordType.FRONTEND, CachePolicy.RETAIN, "type/x",
    )  # fmt: skip
    assert (ref.kind, ref.is_mutable) == (RefKind.BASE_LAYER, True)
    committed = ref.commit()
    assert (committed.description, committed.record_type) == ("text", RecordType.FRONTEND)
    assert committed.policy is CachePolicy.DEFAULT
    with manager.get(committed.id, RefOptions(image_ref="docker.io/library/b")) as again:
        assert again.image_refs == ("docker.io/library/a", "docker.io/library/b")


def test_setters_are_durable(root: Path) -> None:
    with CacheManager.open(root) as manager:
        ref = made(manager, "a")
        ref.finalize()
        assert (ref.record_type, ref.description, ref.layer_type) == (RecordType.REGULAR, "", "")
        ref.description, ref.created_at = "new", TIME
        ref.record_type, ref.policy, ref.layer_type = RecordType.INTERNAL, CachePolicy.RETAIN, "t"
    with CacheManager.open(root) as manager:
        found = manager.metadata(ref.id)
        assert (found.description, found.created_at) == ("new", TIME)
        assert (found.record_type, found.policy) == (RecordType.INTERNAL, CachePolicy.RETAIN)
        found.description = ""
        assert found.get("description") is None


def test_values_of_other_packages_and_their_indexes(manager: CacheManager) -> None:
    first, second = made(manager, "a"), made(manager, "b")
    first.set("git.commit", "abc", index="git:abc")
    second.set("git.commit", "abc", index="git:abd")
    assert [found.id for found in manager.search("git:abc")] == [first.id]
    assert [found.id for found in manager.search("git:", prefix=True)] == [first.id, second.id]
    first.clear("git.commit", index=False)
    assert first.get("git.commit") is None
    assert len(manager.search("git:abc")) == 1
    first.clear("git.commit")
    assert manager.search("git:abc") == []


def test_external_values(root: Path) -> None:
    with CacheManager.open(root) as manager:
        ref = made(manager, "a")
        ref.finalize()
        ref.set_external("key", b"\0value")
        assert ref.external("other") is None
    with CacheManager.open(root) as manager:
        assert manager.metadata(ref.id).external("key") == b"\0value"
        manager.metadata(ref.id).set_external("key", None)
        assert manager.metadata(ref.id).external("key") is None


def test_a_pair_has_one_mutable_ref_until_it_is_finalized(manager: CacheManager) -> None:
    active = manager.new(None, RETAIN)
    assert active.equal_mutable is None
    ref = active.commit()
    mutable = ref.equal_mutable
    assert mutable is not None
    assert (mutable.id, mutable.is_mutable) == (active.id, True)
    ref.finalize()
    assert ref.equal_mutable is None
    ref.finalize()  # does nothing


def test_every_state(manager: CacheManager) -> None:
    ledger = manager._cache.ledger

    def state(ref_id: str) -> RefState:
        return ledger.state(ledger.find(ref_id))

    active = manager.new(None, RETAIN)
    assert state(active.id) is RefState.HELD
    active.release()
    assert state(active.id) is RefState.IDLE
    ref = manager.get(active.id)  # commits it
    assert (state(ref.id), state(active.id)) == (RefState.COMMITTED, RefState.HELD)
    ref.release()
    assert (state(ref.id), state(active.id)) == (RefState.COMMITTED, RefState.IDLE)
    again = manager.get(active.id)
    assert again.id == ref.id
    with pytest.raises(LockedError):
        manager.get_mutable(active.id)
    again.finalize()
    assert state(ref.id) is RefState.FINALIZED


def test_a_default_ref_disappears_when_it_is_released(manager: CacheManager) -> None:
    with manager.new() as active:
        active.files.write("a", b"a")
        directory = manager.store.root / "staging" / active.id
        assert directory.is_dir()
    assert not directory.exists()
    with pytest.raises(NotFoundError):
        manager.get(active.id)
    with manager.new() as active:
        ref = active.commit()
    ref.release()
    with pytest.raises(NotFoundError) as caught:
        manager.get(ref.id)
    assert is_not_found(caught.value)
    assert not is_not_found(LockedError(""))


def test_a_released_ref_cannot_be_used(manager: CacheManager) -> None:
    active = manager.new()
    ref = active.commit()
    with pytest.raises(RefusedError, match="released"):
        active.commit()
    clone = ref.clone()
    ref.release()
    ref.release()
    with pytest.raises(RefusedError, match="released"):
        ref.clone()
    assert clone.file_list() == []


def test_a_list_of_refs_is_released_together(manager: CacheManager) -> None:
    first, second = Blob({"1": "1"}), Blob({"2": "2"})
    base = manager.get_by_blob(first.put(manager))
    top = manager.get_by_blob(second.put(manager), base)
    with top.layer_chain() as chain:
        assert [ref.id for ref in chain] == [base.id, top.id]
        assert len(manager.store.records.holds(base.id)) == 2
    assert len(manager.store.records.holds(base.id)) == 1
    assert top.file_list() == ["2"]


def test_users_of_a_namespace() -> None:
    mapping = IdentityMapping([IdRange(0, 1000, 1), IdRange(1, 100_000, 65_536)], [])
    assert mapping.root == (1000, 0)
    assert mapping.to_host(5, 7) == (100_004, 7)
    assert mapping.to_container(100_004, 7) == (5, 7)
    with pytest.raises(UsageError, match="not mapped"):
        mapping.to_host(70_000, 0)


def test_the_manager_and_its_refs_know_the_mapping(tmp_path: Path) -> None:
    mapping = IdentityMapping([IdRange(0, 1000, 10)])
    with CacheManager.open(tmp_path / "s", identity_mapping=mapping) as manager:
        assert manager.identity_mapping is manager.new().identity_mapping is mapping


def test_files_are_those_of_an_image(manager: CacheManager) -> None:
    active = manager.new()
    active.files.mkdir("/etc")
    active.files.write("/etc/motd", b"hello")
    assert (active.files / "etc" / "motd").read_text() == "hello"
    files = active.commit().files
    assert [entry.path for entry in files.iterdir("/etc")] == ["/etc/motd"]
    assert (files / "etc").is_dir()
    assert [str(path) for path in (files / "etc").iterdir()] == ["/etc/motd"]
