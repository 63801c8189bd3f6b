"""A build that is killed leaves nothing half-committed, and the next one reuses its finished steps."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from tarkit import llb
from tarkit.cache.manager import CacheManager
from tarkit.cache.policies import PrunePolicy
from tarkit.solver.events import BuildEvent, VertexEvent
from tarkit.store.verification import verify_store
from tests.solver.engines import Counts, build, counts, engine
from tests.store.test_faults import needs_fork, run_child

__all__ = ["counts"]

POINTS = 50
EXPECTED = {"/context": "directory", "/context/x": "x", "/a": "a", "/b": "b", "/m": "m"}


def state() -> llb.State:
    """Return a copy of a directory, steps above it, and a merge."""
    context = llb.local("context")
    copied = llb.scratch().file(llb.copy(context, "/", "/context"), custom_name="copy")
    above = copied.file(llb.mkfile("/a", "a"), custom_name="a")
    above = above.file(llb.mkfile("/b", "b"), custom_name="b")
    other = llb.scratch().file(llb.mkfile("/m", "m"), custom_name="m")
    return llb.merge([above, other])


def solve(root: Path, report: Callable[[str], object]) -> None:
    """Build, and report every operation that has run and whose result is saved."""
    started: set[str] = set()

    def on_event(event: BuildEvent) -> None:
        if isinstance(event, VertexEvent):
            if event.started and not event.completed:
                started.add(event.name)
            elif event.completed and event.name in started and not event.error:
                report(f"ran {event.name}")

    with (
        engine(root, locals={"context": root / "context"}) as solver,
        solver.solve(state().marshal(), on_event=on_event) as solution,
    ):
        solution.result()


@needs_fork
def test_killed_at_many_points(tmp_path: Path, counts: Counts) -> None:
    root = tmp_path / "root"
    (root / "context").mkdir(parents=True)
    (root / "context" / "x").write_text("x")
    with CacheManager.open(root / "store"):
        pass
    complete = run_child(solve, copy_of(root), 0)
    assert complete[-2] == "done", complete
    total = int(complete[-1])
    struck = reused = 0
    for at in range(1, total, max(1, total // POINTS)):
        work = copy_of(root)
        reports = run_child(solve, work, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        struck += "done" not in reports
        finished = {line.removeprefix("ran ") for line in reports if line.startswith("ran ")}
        counts.clear()
        with engine(work, locals={"context": work / "context"}) as solver:
            assert build(solver, state()) == EXPECTED
            finished -= {"local://context"}
            assert not finished & counts.runs.keys()
            reused += len(finished)
            assert list(verify_store(solver.manager.store, deep=True)) == []
        with CacheManager.open(work / "store") as manager:
            manager.prune([PrunePolicy(all=True)])
            assert manager.disk_usage() == []
            assert not [*(work / "store").glob("staging/*")]
    assert struck > POINTS // 2
    assert reused > 0


def copy_of(root: Path) -> Path:
    """Return a new copy of *root*."""
    work = root.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    return Path(shutil.copytree(root, work))
