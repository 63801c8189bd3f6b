"""Faults: killed processes, full disks, lost databases, lost and damaged layers, many processes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tarkit.cache.manager import CacheManager
from tarkit.cache.options import RefOptions
from tarkit.cache.policies import PrunePolicy
from tarkit.errors import NotFoundError, TarkitError
from tarkit.store.repair import repair_store
from tarkit.store.store import Store
from tarkit.store.verification import verify_store
from tests.cache.refs import RETAIN, Blob, made, snapshots, usage
from tests.store.test_faults import needs_fork, run_child

POINTS = 12
Report = Callable[[str], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with an idle ref of two layers, one of them a blob, and a retained mutable ref."""
    root = tmp_path / "store"
    with CacheManager.open(root) as manager:
        blob = Blob({"base": "base"})
        base = manager.get_by_blob(blob.put(manager))
        top = made(manager, "kept", base, RefOptions(description="kept"))
        top.finalize()
        active = manager.new(None, RefOptions(policy=RETAIN.policy, description="staged"))
        active.files.write("staged", b"staged")
    return root


def find(manager: CacheManager, description: str) -> str:
    (info,) = manager.disk_usage([f"description=={description}"])
    return info.id


def require_kept(root: Path) -> None:
    with CacheManager.open(root) as manager:
        with manager.get(find(manager, "kept")) as ref:
            assert ref.files.read_text("base") + ref.files.read_text("kept") == "basekept"
        with manager.get_mutable(find(manager, "staged")) as active:
            assert active.files.read_text("staged") == "staged"


# What is interrupted


def commit(root: Path, report: Report) -> None:
    with CacheManager.open(root) as manager, manager.get(find(manager, "kept")) as parent:
        active = manager.new(parent, RETAIN)
        active.files.write("new", b"new")
        active.files.remove("base")
        ref = active.commit()
        report(f"ref {ref.id}")


def finalize(root: Path, report: Report) -> None:
    with CacheManager.open(root) as manager, manager.get(find(manager, "staged")) as ref:
        ref.finalize()
        report(f"final {ref.id}")
        merged = manager.merge([ref, manager.get(find(manager, "kept"))])
        assert merged is not None
        merged.get_remotes(create=True)
        report(f"final {merged.id}")


def extract(root: Path, report: Report) -> None:
    with CacheManager.open(root) as manager:
        blob = Blob({"new": "new"})
        ref = manager.get_by_blob(blob.descriptor, None, blob.options)
        ref.extract()
        report(f"final {ref.id}")


def mount(root: Path, report: Report) -> None:
    with CacheManager.open(root) as manager:
        active = manager.new(manager.get(find(manager, "kept")), RETAIN)
        with active.mount() as path:
            (path / "new").write_bytes(b"new")
        ref = active.commit()
        ref.finalize()
        report(f"final {ref.id}")


def prune(root: Path, report: Report) -> None:
    with CacheManager.open(root) as manager:
        for name in "ab":
            made(manager, name, None, RETAIN).release()
        manager.prune(
            [PrunePolicy(["description==none", "type~=x", "mutable,description!=staged"])]
        )
        report("pruned")


OPERATIONS = [commit, finalize, extract, mount, prune]


def require_reported(root: Path, reports: list[str]) -> None:
    with CacheManager.open(root) as manager:
        for report in reports:
            kind, _, ref_id = report.partition(" ")
            if kind in ("ref", "final"):
                with manager.get(ref_id) as ref:
                    names = {entry.path for entry in ref.files.walk()}
                    assert names & {"/new", "/staged"}
                    for name in names - {"/"}:
                        assert ref.files.read_text(name) == name[1:]


def interrupted(
    operation: Callable[[Path, Report], None],
    root: Path,
    strike: Callable[[], object],
    check: Callable[[Path, list[str]], None],
    *,
    writing: bool,
) -> int:
    """Interrupt *operation* at many points, each time in a copy of *root*; return how often it ended early."""
    struck, at, step = 0, 0, 1
    total = 1
    while at <= total:
        work = root.parent / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(root, work, symlinks=True)
        reports = run_child(operation, work, at, strike, writing=writing)
        if at == 0:
            assert reports[-2] == "done", reports
            total = int(reports[-1])
            step = max(1, total // POINTS)
            at = 1
            continue
        struck += "done" not in reports
        check(work, reports)
        at += step
    return struck


@needs_fork
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_killed_process_loses_nothing(
    operation: Callable[[Path, Report], None], root: Path
) -> None:
    if operation is mount and os.geteuid() != 0:
        pytest.skip("needs root")

    def check(work: Path, reports: list[str]) -> None:
        require_reported(work, reports)
        if operation is not finalize:
            require_kept(work)
        assert run_child(operation, work, 0)[-2] == "done" or operation is finalize
        assert repair_store(work).lost == ()
        with CacheManager.open(work) as manager:
            assert list(verify_store(manager.store, deep=True)) == []
            manager.prune([PrunePolicy(all=True)])
            assert usage(manager) == (0, 0)
            assert snapshots(manager) == 0
            assert manager.store.content.blobs() == []
            assert [*work.glob("mounts/active/*")] == []
            assert [path.name for path in work.glob("holders/*")] == [manager.store.holder()]

    strike = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
    assert interrupted(operation, root, strike, check, writing=False) >= 8


@needs_fork
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_full_disk_is_one_error(operation: Callable[[Path, Report], None], root: Path) -> None:
    if operation is mount and os.geteuid() != 0:
        pytest.skip("needs root")

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def check(work: Path, reports: list[str]) -> None:
        assert not reports[-2].startswith("unclean"), reports
        require_reported(work, reports)
        with CacheManager.open(work) as manager:
            manager.prune([PrunePolicy(all=True)])
            assert (usage(manager), snapshots(manager)) == ((0, 0), 0)

    interrupted(operation, root, full, check, writing=True)


def test_committed_refs_survive_a_lost_database(root: Path) -> None:
    with CacheManager.open(root) as manager:
        active = manager.new(None, RETAIN)
        active.files.write("new", b"new")
        ref = active.commit()  # its layer is not written yet
        ref.set_external("k", b"v")
        kept = find(manager, "kept")
    (root / "tarkit.db").unlink()
    result = repair_store(root)
    assert result.rebuilt
    with CacheManager.open(root) as manager:
        for ref_id, name in ((kept, "kept"), (kept, "base"), (ref.id, "new")):
            with manager.get(ref_id) as found:
                assert found.files.read_text(name) == name
        assert manager.metadata(ref.id).external("k") == b"v"
        with pytest.raises(NotFoundError):
            manager.get_mutable(active.id)
        with manager.get(ref.id) as found:
            found.finalize()
    with CacheManager.open(root) as manager:
        assert manager.store_usage().total > 0
        manager.prune_store(PrunePolicy())
        assert (snapshots(manager), manager.store_usage().total) == (0, 0)


def test_a_ref_whose_layer_is_lost_is_not_found(root: Path) -> None:
    with CacheManager.open(root) as manager:
        kept = find(manager, "kept")
        layer = manager.metadata(kept).get("layer")
        manager.store.layers.path(str(layer)).unlink()
        with pytest.raises(NotFoundError):
            manager.get(kept)
        assert [info.description for info in manager.disk_usage()] == ["", "staged"]


def test_the_refs_of_a_killed_process_are_released(root: Path) -> None:
    script = f"""
import os
from tarkit.cache.manager import CacheManager
from tests.cache.refs import RETAIN
manager = CacheManager.open({str(root)!r})
kept = manager.new(None, RETAIN)
kept.files.write("f", b"f")
kept.files.sync()
manager.new()
merged = manager.merge([manager.new().commit(), manager.new(None, RETAIN).commit()])
print(kept.id, merged.id, flush=True)
os.kill(os.getpid(), 9)
"""
    with CacheManager.open(root) as manager:
        before = len(manager.disk_usage())
        child = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        kept, merged = child.stdout.decode().split()
        with manager.get_mutable(kept) as active:
            assert active.files.read_text("f") == "f"
        assert usage(manager) == (0, before + 4)  # kept, the merge, and its two finalized parents
        with manager.get(merged):
            assert usage(manager)[0] == 3
        assert manager.store.records.dead_holds() == []


@needs_fork
def test_eight_processes_use_one_store(root: Path) -> None:
    children = []
    for number in range(8):
        child = os.fork()
        if not child:
            code = 1
            with suppress(BaseException):
                _work(root, number)
                code = 0
            os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    require_kept(root)
    with CacheManager.open(root) as manager:
        found = [info.description for info in manager.disk_usage() if info.description[:1] == "#"]
        assert sorted(found) == sorted(f"#{number}" for number in range(8))
        assert list(verify_store(manager.store, deep=True)) == []


def _work(root: Path, number: int) -> None:
    with CacheManager.open(root) as manager, manager.get(find(manager, "kept")) as kept:
        for turn in range(4):
            last = turn == 3
            active = manager.new(kept, RefOptions(description=f"#{number}" if last else ""))
            active.files.write("mine", f"{number}.{turn}".encode())
            with active.commit() as ref:
                merged = manager.merge([kept, ref])
                assert merged is not None
                assert merged.files.read_text("mine") == f"{number}.{turn}"
                merged.release()
            manager.prune([PrunePolicy(["description==none"])])


def test_a_store_that_cannot_be_written_is_still_read(root: Path) -> None:
    with CacheManager.open(root) as manager:
        kept = find(manager, "kept")
        manager.get(kept).extract()
    store = Store(root, writable=False)
    with store:
        from tarkit.cache.opening import open_ref
        from tarkit.rootfs.filesystem import FileSystem

        source = open_ref(store, kept, None)
        assert source is not None
        with FileSystem.of(source) as files:
            assert files.read_text("kept") == "kept"
        with CacheManager(store) as manager:
            assert len(manager.disk_usage()) == 3
            with pytest.raises(TarkitError, match="read-only"):
                manager.new()


def test_staged_changes_are_private(root: Path) -> None:
    (staged,) = (root / "staging").iterdir()
    assert stat.S_IMODE(staged.stat().st_mode) == 0o700
