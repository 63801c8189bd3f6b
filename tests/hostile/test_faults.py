"""Any system call may fail: tarkit prints one line, exits correctly and leaves nothing."""

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
    """Make call number *at* of *owner*'s function *name* fail; yield a list of all calls."""
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
    """Run tarkit once for each call, with that call failing; yield the results.

    *out* is emptied before each run.
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
def test_failing_thread_starts(name: str, image: Path, tmp_path: Path) -> None:
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
    """Return the threads that all compressors of the process share."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("deflate")}


CALLS = ("open", "mkdir", "pwrite", "pwritev", "ftruncate", "link", "rename", "replace", "fsync")


@pytest.mark.parametrize("call", [call for call in CALLS if hasattr(os, call)])
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("ls", "verify")])
def test_failing_system_calls(name: str, call: str, image: Path, tmp_path: Path) -> None:
    """Output is absent or complete; syncing a directory may fail after it has been renamed."""
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
