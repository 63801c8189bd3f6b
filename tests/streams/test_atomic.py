"""Files appear complete or not at all, with the same mode everywhere."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import NoSpaceError, PathNotFoundError, TarkitError, TransportError
from tarkit.streams.atomic import PendingFile, atomic_file
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import from_os_error
from tests.builders import listing

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")


@pytest.fixture(params=["unnamed", "named"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with unnamed files, and with temporary names as on systems without them."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return str(request.param)


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_a_file_appears_at_the_end(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "x") as file:
        file.write(b"data")
        file.flush()
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x").read_bytes() == b"data"
    assert listing(tmp_path) == ["x"]


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"something longer")
    with atomic_file(tmp_path / "x") as file:
        file.write(b"new")
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_failure_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")

    def fail() -> None:
        with atomic_file(tmp_path / "x") as file:
            file.write(b"new")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "x").read_bytes() == b"old"
    assert listing(tmp_path) == ["x"]


def test_a_file_that_is_never_published_leaves_nothing(tmp_path: Path) -> None:
    with Directory.open(tmp_path) as directory, PendingFile(directory) as pending:
        pending.file.write(b"data")
    assert listing(tmp_path) == []


def test_a_file_larger_than_the_buffer_in_memory(tmp_path: Path) -> None:
    pieces = [bytes([number]) * (1 << 20) for number in range(90)]
    with atomic_file(tmp_path / "x") as file:
        for piece in pieces:
            file.write(piece)
        file.seek(80 << 20)
        file.write(b"!")  # as a header is, whose size comes to be known later
        file.seek(1)
        file.write(b"!")
    with (tmp_path / "x").open("rb") as result:
        for number, piece in enumerate(pieces):
            begins = {0: b"\0!", 80: b"!"}.get(number, b"")
            assert result.read(1 << 20) == begins + piece[len(begins) :]
        assert result.read() == b""


@posix_only
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    with atomic_file(tmp_path / "x") as file:
        file.write(b"data")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644


@posix_only
def test_an_unpublished_file_is_unreadable_for_others(tmp_path: Path, kind: str) -> None:
    with Directory.open(tmp_path) as directory, PendingFile(directory) as pending:
        assert stat.S_IMODE(os.fstat(pending.file.fileno()).st_mode) == 0o600
        assert len(listing(tmp_path)) == (kind == "named")


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="missing"), atomic_file(tmp_path / "missing" / "x"):
        pass


def test_a_directory_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    with pytest.raises(TarkitError), atomic_file(tmp_path / "x") as file:
        file.write(b"data")
    assert listing(tmp_path) == ["x"]


def test_a_file_that_fails_to_sync_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError, match="no space left"), atomic_file(tmp_path / "x") as file:
        file.write(b"data")
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EFBIG, NoSpaceError),
        (errno.ENOENT, PathNotFoundError),
        (errno.ENOTDIR, PathNotFoundError),
        (errno.EACCES, TransportError),
    ],
)
def test_system_errors_are_translated(number: int, kind: type[TarkitError]) -> None:
    error = from_os_error(OSError(number, os.strerror(number)), "here")
    assert type(error) is kind
    assert str(error).startswith("here: ")


@pytest.mark.skipif(os.name != "posix", reason="names are not synced elsewhere")
def test_file_and_name_are_synced_once_each_and_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        synced.append((kind, (tmp_path / "x").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_file(tmp_path / "x") as file:
        file.write(b"data")
    assert synced == [("file", False), ("directory", True)]


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes elsewhere")
def test_a_replacement_keeps_the_mode(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "file").chmod(0o600)
    for _ in range(2):
        with atomic_file(tmp_path / "file") as file:
            file.write(b"new")
    with atomic_file(tmp_path / "new") as file:
        file.write(b"new")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "new")]
    assert modes == [0o600, 0o644]
