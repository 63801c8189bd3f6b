"""Staging directories go away: on every way out, and after their process died."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tarkit.errors import PathNotFoundError
from tarkit.streams import staging as staging_module
from tarkit.streams.removal import remove_tree
from tarkit.streams.staging import staging_directory
from tests.builders import listing

pytest.importorskip("fcntl")

STAGE_AND_WAIT = """
import sys
from pathlib import Path
from tarkit.streams.staging import staging_directory
with staging_directory(Path(sys.argv[1])) as staging:
    (staging / "half").write_bytes(b"x")
    print(staging.name, flush=True)
    sys.stdin.read()
"""


def start(directory: Path) -> tuple[subprocess.Popen[str], str]:
    """A process that stages in *directory*; and the name of its staging directory."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE_AND_WAIT, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_it_is_there_for_the_block(tmp_path: Path) -> None:
    with staging_directory(tmp_path) as staging:
        assert staging.parent == tmp_path
        (staging / "half").write_bytes(b"x")
    assert listing(tmp_path) == []


def test_it_goes_away_with_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with staging_directory(tmp_path) as staging:
            (staging / "half").write_bytes(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert listing(tmp_path) == []


@pytest.mark.parametrize("signal", [KeyboardInterrupt, SystemExit])
def test_a_signal_while_it_goes_away_does_not_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signal: type[BaseException]
) -> None:
    calls = []

    def interrupted(path: Path) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise signal
        remove_tree(path)

    monkeypatch.setattr(staging_module, "remove_tree", interrupted)
    with pytest.raises(signal), staging_directory(tmp_path) as staging:
        (staging / "half").write_bytes(b"x")
    assert listing(tmp_path) == []


def test_it_stays_where_it_was_renamed_to(tmp_path: Path) -> None:
    with staging_directory(tmp_path) as staging:
        staging.rename(tmp_path / "result")
    assert listing(tmp_path) == ["result"]


def test_its_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with staging_directory(tmp_path) as staging:
            assert stat.S_IMODE(staging.stat().st_mode) == 0o755
    finally:
        os.umask(before)


def test_what_a_dead_process_left_is_swept_and_the_living_keep_theirs(tmp_path: Path) -> None:
    (killed, dead), (other, living) = start(tmp_path), start(tmp_path)
    with killed, other:
        killed.kill()
        killed.wait()
        assert listing(tmp_path) == sorted([dead, living])
        with staging_directory(tmp_path) as staging:
            assert listing(tmp_path) == sorted([living, staging.name])
            assert (tmp_path / living / "half").exists()
        other.communicate("")
    assert listing(tmp_path) == []


def test_what_only_has_the_name_is_left_alone(tmp_path: Path) -> None:
    """Where many may write anybody can give it to anything."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    (tmp_path / ".tarkit-staging-link").symlink_to(precious, target_is_directory=True)
    os.mkfifo(tmp_path / ".tarkit-staging-fifo")
    before = listing(tmp_path)
    with staging_directory(tmp_path):
        pass
    assert listing(tmp_path) == before
    assert listing(precious) == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")
def test_what_others_left_is_theirs_to_sweep(tmp_path: Path) -> None:
    (tmp_path / ".tarkit-staging-theirs").mkdir()
    os.chown(tmp_path / ".tarkit-staging-theirs", 12_345, 12_345)
    with staging_directory(tmp_path):
        pass
    assert listing(tmp_path) == [".tarkit-staging-theirs"]


def test_several_at_once_in_one_process(tmp_path: Path) -> None:
    with staging_directory(tmp_path) as one, staging_directory(tmp_path) as two:
        assert one.is_dir()
        assert two.is_dir()
    assert listing(tmp_path) == []


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError), staging_directory(tmp_path / "missing"):
        pass
