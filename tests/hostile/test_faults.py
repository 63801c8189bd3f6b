"""Every call of the system may fail, at any time: one line, the right code, nothing left behind."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from fixtures.hostile.image import LAYERS, Patch, docker_members, sha256
from fixtures.hostile.tarball import tar
from tests.hostile.running import Run, entries, run_here

COMMANDS = {
    "oci": ("copy", "{image}", "oci:{out}/o:x"),
    "oci, packed": ("copy", "--compression=zstd", "{image}", "oci:{out}/o:x"),
    "docker-archive": ("copy", "{image}", "docker-archive:{out}/o:x:1"),
    "oci-archive": ("copy", "{image}", "oci-archive:{out}/o:x"),
    "dir": ("copy", "{image}", "dir:{out}/o"),
    "rootfs": ("rootfs", "{image}", "{out}/o"),
    "tar": ("rootfs", "{image}", "{out}/o.tar"),
    "ext4": ("ext4", "{image}", "{out}/o"),
    "ls": ("ls", "{image}"),
    "verify": ("verify", "-q", "{image}"),
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docker-archive with a compressed layer over a plain one."""
    path = tmp_path_factory.mktemp("image") / "image.tar"
    layer = tar({"etc/file": b"x" * 70_000, "usr/": b"", "usr/other": b"y"})
    diff_ids: Patch = {("rootfs", "diff_ids", 1): sha256(layer)}
    layers = [LAYERS[0], gzip.compress(layer, mtime=0)]
    path.write_bytes(tar(docker_members(config=diff_ids, layers=layers)))
    return path


@contextmanager
def failing(
    owner: Any, name: str, error: Callable[[], BaseException], at: int
) -> Iterator[list[int]]:
    """Have call number *at* of *owner*'s function *name* fail; yields a list of the calls' numbers."""
    original = getattr(owner, name)
    calls: list[int] = []
    lock = threading.Lock()

    def call(*arguments: Any, **options: Any) -> Any:
        with lock:
            number = len(calls)
            calls.append(number)
        if number == at:
            raise error()
        return original(*arguments, **options)

    capabilities = (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd)
    supporting = [functions for functions in capabilities if original in functions]
    for functions in supporting:  # the code asks whether a function takes dir_fd
        functions.add(call)
    try:
        with patch.object(owner, name, call):
            yield calls
    finally:
        for functions in supporting:
            functions.discard(call)


def every_failure(
    owner: Any, name: str, error: Callable[[], BaseException], arguments: list[str], out: Path
) -> Iterator[Run]:
    """Run tarkit with the first call failing, then the second, and so on, as long as there are calls.

    *out* is empty every time.
    """
    for at in itertools.count():
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        with failing(owner, name, error, at) as calls:
            result = run_here(*arguments)
        if len(calls) <= at:
            return
        yield result


def check(run: Run, out: Path, codes: set[int]) -> None:
    assert run.code in codes, run
    assert "internal error" not in run.err
    if run.code:
        assert run.err.startswith("tarkit: "), run
        assert run.err.count("\n") == 1, run
        assert entries(out) == set(), run


def command(name: str, image: Path, out: Path) -> list[str]:
    return [part.format(image=image, out=out) for part in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_threads_that_cannot_start(name: str, image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = set(threading.enumerate())

    def no_thread() -> RuntimeError:
        return RuntimeError("can't start new thread")

    for result in every_failure(
        threading.Thread, "start", no_thread, command(name, image, out), out
    ):
        check(result, out, {0, 1})
        assert result.code == 0 or "can't start new thread" in result.err
        assert set(threading.enumerate()) - before <= deflaters()


def deflaters() -> set[threading.Thread]:
    """The threads that all compressors of a process share."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("deflate")}


CALLS = ("open", "mkdir", "pwrite", "pwritev", "ftruncate", "link", "rename", "replace", "fsync")


@pytest.mark.parametrize("call", [call for call in CALLS if hasattr(os, call)])
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("ls", "verify")])
def test_calls_of_the_system_that_fail(name: str, call: str, image: Path, tmp_path: Path) -> None:
    """An output is either absent or whole; a directory may fail to reach the disk after it has its name."""
    out = tmp_path / "out"
    arguments = command(name, image, out)

    def full() -> OSError:
        return OSError(errno.ENOSPC, "No space left on device")

    out.mkdir()
    assert run_here(*arguments).code == 0
    whole = contents(out)
    for result in every_failure(os, call, full, arguments, out):
        if result.code and call in ("open", "fsync") and any(out.iterdir()):
            assert contents(out) == whole
        else:
            check(result, out, {0, 6})


def contents(directory: Path) -> dict[str, bytes]:
    """Return the files below *directory* by path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
