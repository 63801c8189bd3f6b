"""Builds of the embedded engine and of dockerd's BuildKit, given the same definitions by the same client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measure import Side
from tests.bench.table import TARKIT, Row, remover
from tests.conformance.tools import Tool

FILES = 10_000
_PROGRAM = """\
from tarkit import llb

def cached():
    return files(20)

def many():  # the daemon's overlays have at most 128 layers
    state = llb.scratch()
    for branch in range(10):
        state = state.file(llb.copy(files(100, branch), "/1", f"/{branch}"))
    return state

def files(count, branch=0):
    state = llb.scratch()
    for number in range(count):
        state = state.file(llb.mkfile(f"/{number}", f"{branch}-{number}"))
    return state

def copied():
    return llb.scratch().file(llb.copy(llb.local("context"), "/", "/app/", contents_only=True))

def tools():
    actions = llb.mkdir("/bin").copy(llb.local("tools"), "/busybox", "/bin/busybox", mode=0o755)
    return llb.scratch().file(actions).network("none")

def run(state, script):
    return state.run(["/bin/busybox", "sh", "-c", script]).root()

def steps():
    state = tools()
    for number in range(50):
        state = run(state, f": {number}")
    return state

def writing():
    return run(tools(), "for i in $(/bin/busybox seq 10000); do echo $i > /$i; done")
"""


def build_rows(docker: Tool, work: Path) -> Iterator[Row]:
    """Return the rows, with the daemon of *docker* as the peer."""
    (work / "program.py").write_text(_PROGRAM)
    context, tools = work / "context", work / "tools"
    write_context(context)
    tools.mkdir()
    shutil.copy(shutil.which("busybox") or "busybox", tools)
    store = work / "store"

    def sides(function: str, *, cold: bool) -> tuple[Side, Side]:
        command = (*TARKIT, "build", f"{work / 'program.py'}:{function}", "-q",
                   "--local", f"context={context}", "--local", f"tools={tools}")  # fmt: skip
        host = docker.command[-1]

        def forget() -> None:
            docker("builder", "prune", "--all", "--force")

        nothing = lambda: None  # noqa: E731
        ours = Side((*command, "--store", store), prepare=remover(store) if cold else nothing)
        theirs = Side(
            ("env", f"DOCKER_HOST={host}", *command, "--engine", "docker-daemon:"),
            prepare=forget if cold else nothing,
        )
        return ours, theirs

    yield Row("a build of 20 cached steps", *sides("cached", cold=False), 1.0)
    yield Row("1,000 file operations", *sides("many", cold=True), 0.5, pairs=1)
    yield Row("1,000 file operations, cached", *sides("many", cold=False), 0.5, pairs=3)
    yield Row(f"a directory of {FILES:,} files", *sides("copied", cold=True), 0.7, pairs=3)
    yield Row("50 dependent processes", *sides("steps", cold=True), 1.2, pairs=1)
    yield Row("a process that writes 10,000 files", *sides("writing", cold=True), 1.0, pairs=3)


def write_context(directory: Path) -> None:
    """Write a directory of small files."""
    for number in range(FILES):
        path = directory / f"d{number // 100}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content {number}\n" * 20)
