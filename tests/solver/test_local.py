"""Local directories: what is read again, patterns, links, and hostile entries."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tarkit import llb
from tarkit.errors import CancelledError, NotFoundError, TarkitError
from tarkit.solver.operations import local_sync
from tarkit.solver.operations.local_filter import LocalFilter, followed
from tarkit.solver.operations.local_sync import LocalSync
from tarkit.streams.directory import Directory
from tests.solver.engines import Counts, build, counts, engine

__all__ = ["counts"]

OLD = 1_600_000_000


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    for name in ("a", "b", "sub/c", "sub/deep/d"):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return directory


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose content was read; no time is too recent to be trusted."""
    names: list[str] = []
    load = LocalSync._load

    def noted(self: LocalSync, found: Any, member: Any) -> Any:
        names.append(found.path.decode())
        return load(self, found, member)

    monkeypatch.setattr(LocalSync, "_load", noted)
    monkeypatch.setattr(local_sync, "_RACY", -(10**18))
    return names


def test_only_changed_files_are_read(tmp_path: Path, context: Path, reads: list[str]) -> None:
    with engine(tmp_path, locals={"context": context}) as solver:
        first = build(solver, llb.local("context"))
        assert reads == ["a", "b", "sub/c", "sub/deep/d"]
        reads.clear()
        (context / "a").write_text("changed")
        (context / "new").write_text("new")
        (context / "b").unlink()
        found = build(solver, llb.local("context"))
    del first["/b"]
    assert found == {**first, "/a": "changed", "/new": "new"}
    assert reads == ["a", "new"]
    reads.clear()
    with engine(tmp_path, locals={"context": context}) as solver:
        assert build(solver, llb.local("context")) == found
        assert not reads
        build(solver, llb.local("context", differ="none"))
    assert len(reads) == 4


def test_an_unchanged_directory_costs_no_new_copy(
    tmp_path: Path, context: Path, reads: list[str], counts: Counts
) -> None:
    with engine(tmp_path, locals={"context": context}) as solver:
        build(solver, llb.local("context"))
        refs = len(solver.manager.disk_usage())
        (layer,) = (tmp_path / "store" / "layers").glob("*.tar")
        written = layer.stat().st_ino
    reads.clear()
    with engine(tmp_path, locals={"context": context}) as solver:
        build(solver, llb.local("context"))
        assert len(solver.manager.disk_usage()) == refs
    assert not reads
    assert layer.stat().st_ino == written


def test_a_copy_in_use_is_not_changed(tmp_path: Path, context: Path) -> None:
    with engine(tmp_path, locals={"context": context}) as solver:
        definition = llb.local("context").marshal()
        with solver.solve(definition) as solution:
            ref = solution.result()
            assert ref is not None
            (context / "a").write_text("later")
            assert build(solver, llb.local("context"))["/a"] == "later"
            assert ref.files.read_text("/a") == "a"


def test_kinds_of_entries_change(tmp_path: Path, context: Path) -> None:
    with engine(tmp_path, locals={"context": context}) as solver:
        build(solver, llb.local("context"))
        (context / "a").unlink()
        (context / "a").mkdir()
        (context / "a" / "inside").write_text("inside")
        (context / "sub" / "deep" / "d").unlink()
        (context / "sub" / "deep").rmdir()
        (context / "sub" / "deep").symlink_to("../b")
        (context / "e").hardlink_to(context / "b")
        assert build(solver, llb.local("context")) == {
            "/a": "directory", "/a/inside": "inside", "/b": "b", "/e": "b", "/sub": "directory",
            "/sub/c": "sub/c", "/sub/deep": "../b",
        }  # fmt: skip
        (context / "b").unlink()
        assert build(solver, llb.local("context"))["/e"] == "b"


def test_modes_times_and_owners(tmp_path: Path, context: Path) -> None:
    (context / "a").chmod(0o4711)
    os.utime(context / "a", (OLD, OLD))
    os.utime(context / "sub", (OLD, OLD))
    with (
        engine(tmp_path, locals={"context": context}) as solver,
        solver.solve(llb.local("context").marshal()) as solution,
    ):
        ref = solution.result()
        assert ref is not None
        entry = ref.files.stat("/a")
        assert (entry.mode, entry.uid, entry.gid) == (0o4711, 0, 0)
        assert entry.mtime_ns == OLD * 10**9
        assert ref.files.stat("/sub").mtime_ns == OLD * 10**9


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": ["a"]}, ["/a"]),
        ({"include": ["sub/deep"]}, ["/sub", "/sub/deep", "/sub/deep/d"]),
        ({"include": ["**/d"]}, ["/sub", "/sub/deep", "/sub/deep/d"]),
        ({"exclude": ["sub"]}, ["/a", "/b"]),
        ({"exclude": ["sub", "!sub/c"]}, ["/a", "/b", "/sub", "/sub/c"]),
        ({"exclude": ["*", "!b"]}, ["/b"]),
        ({"include": ["sub"], "exclude": ["**/d"]}, ["/sub", "/sub/c", "/sub/deep"]),
        ({"include": ["none"]}, []),
        ({"follow": ["a"]}, ["/a"]),
        ({"follow": ["link"]}, ["/link", "/sub", "/sub/c"]),
        ({"follow": ["dir/d"]}, ["/dir", "/sub", "/sub/deep", "/sub/deep/d"]),
        ({"follow": ["l*"]}, ["/link", "/sub", "/sub/c"]),
    ],
)
def test_patterns(
    tmp_path: Path, context: Path, options: dict[str, list[str]], expected: list[str]
) -> None:
    if "follow" in options:
        (context / "link").symlink_to("/sub/c")
        (context / "dir").symlink_to("sub/deep")
    with engine(tmp_path, locals={"context": context}) as solver:
        assert sorted(build(solver, llb.local("context", **options))) == expected  # type: ignore[arg-type]


def test_excluded_directories_are_not_entered(tmp_path: Path, context: Path) -> None:
    (context / "sub").chmod(0)  # root enters it anyway, but must not need to
    chosen = LocalFilter((), ["sub"])
    assert not chosen.may_contain("sub")
    assert LocalFilter((), ["sub", "!sub/c"]).may_contain("sub")
    assert LocalFilter(["x/*/y"]).may_contain("x/anything")
    assert not LocalFilter(["x/*/y"]).may_contain("z")
    with engine(tmp_path, locals={"context": context}) as solver:
        assert sorted(build(solver, llb.local("context", exclude=["sub"]))) == ["/a", "/b"]


def test_links_lead_nowhere_outside(tmp_path: Path, context: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (context / "out").symlink_to(secret)
    (context / "up").symlink_to("../secret/key")
    with engine(tmp_path, locals={"context": context}) as solver:
        found = build(solver, llb.local("context"))
        assert found["/out"] == str(secret)
        assert "secret" not in found.values()
        followed_links = build(solver, llb.local("context", follow=["out/key", "up"]))
        assert followed_links == {"/out": str(secret), "/up": "../secret/key"}
        copied = llb.scratch().file(llb.copy(llb.local("context"), "/out/key", "/key"))
        with pytest.raises(NotFoundError, match="/out/key"):
            build(solver, copied)


def test_loops_of_links_are_refused(tmp_path: Path, context: Path) -> None:
    (context / "x").symlink_to("y")
    (context / "y").symlink_to("x")
    with Directory.open(context) as top, pytest.raises(TarkitError, match="too many links"):
        followed(top, ["x"])


def test_pipes_devices_and_sockets_never_block(tmp_path: Path, context: Path) -> None:
    os.mkfifo(context / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(context / "socket"))
    with engine(tmp_path, locals={"context": context}) as solver:
        found = build(solver, llb.local("context"))
    assert found["/pipe"] == "fifo"
    assert "/socket" not in found


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer than before"),
        lambda path: path.write_text(""),
        lambda path: path.unlink(),
        lambda path: replaced_by_pipe(path),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_files_that_change_while_they_are_read(
    tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    load = LocalSync._load
    changes = [change]

    def changing(self: LocalSync, found: Any, member: Any) -> Any:
        if found.name == b"a" and changes:
            changes.pop()(context / "a")
        return load(self, found, member)

    monkeypatch.setattr(LocalSync, "_load", changing)
    with engine(tmp_path, locals={"context": context}) as solver:
        during = build(solver, llb.local("context"))
        assert during.get("/a", "a")[:1] in ("a", "l", "")  # some moment's content, or none
        after = build(solver, llb.local("context"))
    path = context / "a"
    expected = path.read_text() if path.is_file() and not path.is_symlink() else after.get("/a")
    assert after.get("/a") == expected


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def test_a_directory_must_be_offered(tmp_path: Path, context: Path) -> None:
    with (
        engine(tmp_path, locals={"other": context}) as solver,
        pytest.raises(NotFoundError, match=r"no access to the directory 'context'; give it"),
    ):
        build(solver, llb.local("context"))
    with (
        engine(tmp_path, locals={"context": tmp_path / "missing"}) as solver,
        pytest.raises(NotFoundError, match="missing"),
    ):
        build(solver, llb.local("context"))


def test_reading_can_be_cancelled(
    tmp_path: Path, context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine(tmp_path, locals={"context": context}) as solver:
        solution = solver.solve(llb.local("context").marshal())
        load = LocalSync._load

        def cancelling(self: LocalSync, found: Any, member: Any) -> Any:
            solution.cancel()
            solver.call(lambda: None)  # the owner has seen it
            return load(self, found, member)

        monkeypatch.setattr(LocalSync, "_load", cancelling)
        with pytest.raises(CancelledError):
            solution.result()
        monkeypatch.setattr(LocalSync, "_load", load)
        assert build(solver, llb.local("context"))["/a"] == "a"  # nothing half-read is trusted
