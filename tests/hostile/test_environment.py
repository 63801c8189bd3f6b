"""Copies under adverse conditions: full disk, no permission, signals, concurrent writers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.hostile.image import LAYERS, Patch, docker_members, sha256
from fixtures.hostile.tarball import BLOCK, binary, header, tar
from tests.hostile.running import PATIENCE, entries, run_here, start

DESTINATIONS = ("oci:{}:x", "oci-archive:{}:x", "docker-archive:{}:x:1", "dir:{}")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid docker-archive with two small layers."""
    path = tmp_path_factory.mktemp("small") / "image.tar"
    path.write_bytes(tar(docker_members()))
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid docker-archive whose first layer is 8 MiB of incompressible data."""
    layer = tar({"data": random.Random(0).randbytes(8 << 20)})
    path = tmp_path_factory.mktemp("large") / "image.tar"
    diff_ids: Patch = {("rootfs", "diff_ids", 0): sha256(layer)}
    path.write_bytes(tar(docker_members(config=diff_ids, layers=[layer, LAYERS[1]])))
    return path


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A docker-archive that takes minutes to copy: its first layer is a sparse hole of 64 GiB."""
    path = tmp_path_factory.mktemp("endless") / "image.tar"
    members = docker_members()
    layer = members.pop("1/layer.tar")
    assert isinstance(layer, bytes)
    with path.open("wb") as file:
        file.write(header("1/layer.tar", binary(64 << 30)) + layer)
        file.seek(BLOCK + (64 << 30))
        file.write(tar(members))
    return path


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs at *directory* during the block, or skip the test if that is not allowed."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tarkit-test", str(directory)]
    try:
        mount = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mount is not installed")
    if mount.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mount.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def copying(source: Path, destination: str) -> Iterator[subprocess.Popen[str]]:
    """Run a copy in a separate process, killed at the end of the block."""
    with start("copy", f"docker-archive:{source}", destination) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_writing(process: subprocess.Popen[str], directory: Path) -> None:
    """Wait until *process* has written to a file in *directory*, even an unnamed one."""
    deadline = time.monotonic() + PATIENCE
    while not is_writing(process.pid, directory):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_writing(pid: int, directory: Path) -> bool:
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target, size = descriptor.readlink(), descriptor.stat().st_size
        except OSError:
            continue
        if target.is_relative_to(directory) and size and not target.is_dir():
            return True
    return False


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_read_only_destination_fails_with_one_line(
    small: Path, tmp_path: Path, destination: str
) -> None:
    with mounted(tmp_path / "mount", "ro") as directory:
        run = run_here("copy", f"docker-archive:{small}", destination.format(directory / "out"))
        assert run.code == 1
        assert run.err.count("\n") == 1
        assert "Read-only file system" in run.err
        assert entries(directory) == set()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_full_destination_is_left_empty(large: Path, tmp_path: Path, destination: str) -> None:
    with mounted(tmp_path / "mount", "size=4m") as directory:
        run = run_here("copy", f"docker-archive:{large}", destination.format(directory / "out"))
        assert run.code == 6
        assert run.err.count("\n") == 1
        assert "no space" in run.err
        assert entries(directory) == set()
        left = os.statvfs(directory)
        assert left.f_bavail == left.f_blocks


@linux_only
@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_killed_copy_is_invisible_and_the_next_one_works(
    small: Path, endless: Path, tmp_path: Path, destination: str
) -> None:
    out = tmp_path / "out"
    with copying(endless, destination.format(out)) as process:
        wait_until_writing(process, tmp_path)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    assert run_here("copy", f"docker-archive:{small}", destination.format(out)).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert run_here("verify", str(out)).code == 0


@linux_only
@pytest.mark.parametrize("destination", DESTINATIONS)
def test_an_interrupted_copy_leaves_nothing(
    endless: Path, tmp_path: Path, destination: str
) -> None:
    with copying(endless, destination.format(tmp_path / "out")) as process:
        wait_until_writing(process, tmp_path)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err.count("\n") <= 1
    assert "Traceback" not in err
    assert entries(tmp_path) == set()


def test_a_failing_copy_does_not_change_an_existing_layout(
    small: Path, large: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run_here("copy", f"docker-archive:{small}", f"oci:{out}:old").code == 0
    index, before = (out / "index.json").read_bytes(), entries(tmp_path)
    broken = tmp_path.parent / "broken.tar"
    broken.write_bytes(large.read_bytes().replace(b"data", b"atad", 1))
    for name in ("new", "old"):
        assert run_here("copy", f"docker-archive:{broken}", f"oci:{out}:{name}").code == 4
        assert (out / "index.json").read_bytes() == index
        assert entries(tmp_path) == before


def test_eight_writers_into_one_layout_lose_nothing(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    writers = [
        start("copy", f"docker-archive:{small}", f"oci:{out}:tag{number}") for number in range(8)
    ]
    while any(writer.poll() is None for writer in writers):
        if (out / "index.json").exists():
            json.loads((out / "index.json").read_bytes())
    endings = [(*writer.communicate(), writer.returncode) for writer in writers]
    assert [code for _, _, code in endings] == [0] * 8, endings
    manifests = json.loads((out / "index.json").read_bytes())["manifests"]
    names = {entry["annotations"]["org.opencontainers.image.ref.name"] for entry in manifests}
    assert names == {f"tag{number}" for number in range(8)}
    assert len(manifests) == 8
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert run_here("verify", f"oci:{out}").code == 0
