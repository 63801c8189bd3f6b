"""Locks on directories exclude other processes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit.errors import LockedError, UnsafePathError
from tarkit.streams import locking
from tarkit.streams.directory import Directory
from tests.builders import listing


@pytest.fixture(params=["flock", "file"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with flock, and with the lock file that replaces it on other systems."""
    if request.param == "file":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        pytest.importorskip("fcntl")
    return str(request.param)


@contextmanager
def locked_directory(path: Path, **options: float) -> Iterator[None]:
    with Directory.open(path) as directory, locking.locked_directory(directory, **options):
        yield


@contextmanager
def locked_name(path: Path, **options: float) -> Iterator[None]:
    with Directory.open(path.parent) as parent, locking.locked_name(parent, path.name, **options):
        yield


def test_nothing_stays_behind(tmp_path: Path, kind: str) -> None:
    with locked_directory(tmp_path):
        assert listing(tmp_path) == ([".tarkit-lock"] if kind == "file" else [])
    assert listing(tmp_path) == []


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    events: list[str] = []
    entered = threading.Event()

    def second() -> None:
        entered.set()
        with locked_directory(tmp_path):
            events.append("second")

    with locked_directory(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        entered.wait()
        events.append("first")
    thread.join()
    assert events == ["first", "second"]


def test_waiting_for_a_lock_times_out(tmp_path: Path) -> None:
    with (
        locked_directory(tmp_path),
        pytest.raises(LockedError, match="another process holds the lock"),
        locked_directory(tmp_path, timeout=0.0),
    ):
        pass


def test_an_error_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked_directory(tmp_path):
        raise KeyError
    with locked_directory(tmp_path):
        pass


def test_a_locked_name_is_exclusive_and_removed(tmp_path: Path, kind: str) -> None:
    name = tmp_path / "locks" / "name"
    name.parent.mkdir()
    holders: list[str] = []
    most = 0

    def hold() -> None:
        nonlocal most
        for _ in range(20):
            with locked_name(name):
                holders.append("one")
                most = max(most, len(holders))
                holders.pop()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert listing(name.parent) == ([] if kind == "flock" else ["name"])


def test_a_locked_name_is_waited_for(tmp_path: Path) -> None:
    with (
        locked_name(tmp_path / "name"),
        pytest.raises(LockedError),
        locked_name(tmp_path / "name", timeout=0.0),
    ):
        pass


@pytest.mark.parametrize("target", ["nowhere", "directory", "/"])
def test_a_link_is_not_locked(tmp_path: Path, target: str) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "name").symlink_to(target)
    with pytest.raises(UnsafePathError, match="a link"), locked_name(tmp_path / "name"):
        pass


def test_a_lock_file_is_not_created_through_a_link(tmp_path: Path, kind: str) -> None:
    if kind == "flock":
        pytest.skip("there is no lock file")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".tarkit-lock").symlink_to("../elsewhere")
    with pytest.raises(LockedError), locked_directory(tmp_path / "store", timeout=0.0):
        pass
    assert listing(tmp_path) == ["store"]
