"""Staging directories are always removed, even after their process was killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit.streams import staging as staging_module
from tarkit.streams.directory import Directory
from tarkit.streams.removal import remove_tree
from tarkit.streams.staging import staging_directory
from tests.builders import listing

pytest.importorskip("fcntl")

STAGE_AND_WAIT = """
import sys
from pathlib import Path
from tarkit.streams.directory import Directory
from tarkit.streams.staging import staging_directory
with Directory.open(Path(sys.argv[1])) as parent, staging_directory(parent) as staging:
    (staging.path / "half").write_bytes(b"x")
    print(staging.path.parent.name, flush=True)
    sys.stdin.read()
"""


def start(directory: Path) -> tuple[subprocess.Popen[str], str]:
    """Start a process that stages in *directory*; return it and the name of its staging directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE_AND_WAIT, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@contextmanager
def staging_in(path: Path) -> Iterator[Path]:
    with Directory.open(path) as parent, staging_directory(parent) as staging:
        yield staging.path


def test_it_exists_during_the_block(tmp_path: Path) -> None:
    with staging_in(tmp_path) as staging:
        assert staging.parent.parent == tmp_path
        (staging / "half").write_bytes(b"x")
    assert listing(tmp_path) == []


def test_an_error_removes_it(tmp_path: Path) -> None:
    def fail() -> None:
        with staging_in(tmp_path) as staging:
            (staging / "half").write_bytes(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert listing(tmp_path) == []


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_a_signal_during_removal_does_not_prevent_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: type[BaseException]
) -> None:
    calls = []

    def interrupted(parent: Directory, name: str, directory: Directory) -> None:
        calls.append(name)
        if len(calls) == 1:
            raise signal
        remove_tree(parent, name, directory)

    monkeypatch.setattr(staging_module, "remove_tree", interrupted)
    with pytest.raises(signal), staging_in(tmp_path) as staging:
        (staging / "half").write_bytes(b"x")
    assert listing(tmp_path) == []


def test_what_was_published_stays(tmp_path: Path) -> None:
    with (
        Directory.open(tmp_path) as parent,
        staging_directory(parent) as staging,
        staging.make("new") as new,
    ):
        staging.publish("new", parent, "result", expected=new.status())
    assert listing(tmp_path) == ["result"]


@pytest.mark.parametrize("umask", [0o000, 0o077])
@pytest.mark.parametrize("parent_mode", [0o755, 0o777, 0o1777, 0o2775])
def test_other_users_cannot_enter_it_under_any_umask(
    tmp_path: Path, umask: int, parent_mode: int
) -> None:
    tmp_path.chmod(parent_mode)
    before = os.umask(umask)
    try:
        with staging_in(tmp_path) as staging:
            assert stat.S_IMODE(staging.stat().st_mode) == 0o700
            assert stat.S_IMODE(staging.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_only_directories_of_dead_processes_are_removed(tmp_path: Path) -> None:
    (killed, dead), (other, living) = start(tmp_path), start(tmp_path)
    with killed, other:
        killed.kill()
        killed.wait()
        assert listing(tmp_path) == sorted([dead, living])
        with staging_in(tmp_path) as staging:
            assert listing(tmp_path) == sorted([living, staging.parent.name])
            assert (tmp_path / living / staging.name / "half").exists()
        other.communicate("")
    assert listing(tmp_path) == []


def test_other_directories_of_such_a_name_stay(tmp_path: Path) -> None:
    """Other users with write access can choose such a name for anything."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (tmp_path / ".tarkit-staging-link").symlink_to(precious, target_is_directory=True)
    os.mkfifo(tmp_path / ".tarkit-staging-fifo")
    (tmp_path / ".tarkit-staging-renamed" / "etc").mkdir(parents=True)
    before = listing(tmp_path)
    with staging_in(tmp_path):
        pass
    assert listing(tmp_path) == before
    assert listing(precious) == ["file"]
    assert listing(tmp_path / ".tarkit-staging-renamed") == ["etc"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_directories_of_other_users_stay(tmp_path: Path) -> None:
    (tmp_path / ".tarkit-staging-theirs").mkdir()
    os.chown(tmp_path / ".tarkit-staging-theirs", 12_345, 12_345)
    with staging_in(tmp_path):
        pass
    assert listing(tmp_path) == [".tarkit-staging-theirs"]


def test_several_at_once_in_one_process(tmp_path: Path) -> None:
    with staging_in(tmp_path) as one, staging_in(tmp_path) as two:
        assert one.is_dir()
        assert two.is_dir()
    assert listing(tmp_path) == []
