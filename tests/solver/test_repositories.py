"""Git repositories, from a daemon of git itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit import llb
from tarkit.errors import NotFoundError, TarkitError, TransportError, VerificationError
from tests.solver.engines import Counts, build, counts, engine

__all__ = ["counts"]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


class Repository:
    """A repository with two commits, a branch and an annotated tag, served at ``url``."""

    def __init__(self, root: Path) -> None:
        self.path = root / "served" / "repo"
        self.path.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.first = self.commit("file", "one")
        self.git("tag", "-a", "v1", "-m", "v1")
        (self.path / "dir").mkdir()
        self.second = self.commit("dir/inside", "two")
        self.git("branch", "other", self.first)
        self.url = ""

    def commit(self, name: str, text: str) -> str:
        (self.path / name).write_text(text)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", text)
        return self.git("rev-parse", "HEAD")

    def git(self, *arguments: str) -> str:
        identity = {f"GIT_{who}_{what}": "x@example.com" for who in ("AUTHOR", "COMMITTER")
                    for what in ("NAME", "EMAIL")}  # fmt: skip
        dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "1600000000 +0000")
        return subprocess.run(
            ["git", *arguments], cwd=self.path, check=True, capture_output=True, text=True,
            env={**os.environ, **identity, **dates, "HOME": "/nonexistent"},
        ).stdout.strip()  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    made = Repository(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "git", "daemon", "--export-all", f"--base-path={tmp_path / 'served'}",
        "--listen=127.0.0.1", f"--port={port}", "--reuseaddr",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as daemon:
        while daemon.poll() is None:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.01)
        made.url = f"git://127.0.0.1:{port}/repo"
        yield made
        os.killpg(daemon.pid, 15)


ONE = {"/file": "one"}
TWO = {"/dir": "directory", "/dir/inside": "two", "/file": "one"}


@pytest.mark.parametrize(
    ("ref", "expected"),
    [("", TWO), ("main", TWO), ("other", ONE), ("v1", ONE), ("refs/heads/other", ONE)],
)
def test_names_of_commits(
    tmp_path: Path, repository: Repository, ref: str, expected: dict[str, str]
) -> None:
    with engine(tmp_path) as solver:
        assert build(solver, llb.git(repository.url, ref)) == expected


def test_a_commit_by_its_digest_needs_no_question(
    tmp_path: Path, repository: Repository, counts: Counts
) -> None:
    state = llb.git(repository.url, repository.first)
    with engine(tmp_path) as solver:
        assert build(solver, state) == ONE
    shutil.rmtree(repository.path)
    with engine(tmp_path) as solver:
        assert build(solver, state) == ONE
    assert sum(counts.runs.values()) == 1


def test_a_branch_that_moves(tmp_path: Path, repository: Repository, counts: Counts) -> None:
    with engine(tmp_path) as solver:
        build(solver, llb.git(repository.url))
        build(solver, llb.git(repository.url))
        assert sum(counts.runs.values()) == 1
        repository.commit("file", "three")
        assert build(solver, llb.git(repository.url))["/file"] == "three"


def test_a_directory_of_the_repository(tmp_path: Path, repository: Repository) -> None:
    with engine(tmp_path) as solver:
        assert build(solver, llb.git(repository.url, subdir="dir")) == {"/inside": "two"}
        assert build(solver, llb.git(repository.url, subdir="../..")) == TWO
        with pytest.raises(TarkitError, match="none"):
            build(solver, llb.git(repository.url, subdir="none"))


def test_the_repository_itself_and_times(tmp_path: Path, repository: Repository) -> None:
    with engine(tmp_path) as solver:
        found = build(solver, llb.git(repository.url, keep_git_dir=True))
        assert found["/.git"] == "directory"
        with solver.solve(llb.git(repository.url, mtime="commit").marshal()) as solution:
            ref = solution.result()
            assert ref is not None
            assert ref.files.stat("/file").mtime_ns == 1_600_000_000 * 10**9


def test_a_checksum(tmp_path: Path, repository: Repository) -> None:
    with engine(tmp_path) as solver:
        build(solver, llb.git(repository.url, checksum=repository.second[:12]))
        with pytest.raises(VerificationError, match="expected the commit"):
            build(solver, llb.git(repository.url, checksum=repository.first))


def test_what_is_missing(tmp_path: Path, repository: Repository) -> None:
    with engine(tmp_path) as solver:
        with pytest.raises(NotFoundError, match="no branch or tag 'none'"):
            build(solver, llb.git(repository.url, "none"))
        with pytest.raises(TransportError, match="git"):
            build(solver, llb.git(repository.url + "-not"))


@pytest.mark.parametrize("url", ["file:///etc", "ext::sh -c id", "--upload-pack=id", "/etc"])
def test_only_servers_are_asked(tmp_path: Path, url: str) -> None:
    with engine(tmp_path) as solver, pytest.raises(TarkitError):
        build(solver, llb.git(url))
