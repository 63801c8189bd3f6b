"""A real mount shows what is in the image, to the tools that copy and compare files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit import open_image, write_directory
from tests.builders import image_of, layout_of, squeeze, write_files
from tests.conformance.tools import PATIENCE, find_tool, unavailable
from tests.rootfs.layers import directory, file, hard, link, pack

TARKIT = [sys.executable, "-m", "tarkit"]
LOWER = [
    directory("bin", 0o751, uid=5),
    file("bin/tool", os.urandom(300_000), 0o6755, uid=1, gid=2, mtime=1234.5),
    hard("bin/same", "bin/tool"),
    file("data/big", bytes(5_000_000) + b"end"),
    *(file(f"many/{number:04}", str(number)) for number in range(3000)),
]
UPPER = [
    file("bin/.wh.none"),
    file("data/attributes", "x", pax={"SCHILY.xattr.user.color": "blue"}),
    link("relative", "bin/tool"),
    link("dangling", "/nothing"),
    file("latin-\udce9", "é"),
]


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> str:
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError) as error:
        unavailable(f"mfusepy: {error}")
    if not Path("/dev/fuse").exists():
        unavailable("no /dev/fuse")
    layout = tmp_path_factory.mktemp("mount") / "layout"
    write_files(layout, layout_of(image_of([pack(LOWER), pack(UPPER)]), pack=squeeze))
    return f"oci:{layout}"


@contextmanager
def mounted(location: str, at: Path) -> Iterator[Path]:
    """Mount in the background, as users do, and unmount."""
    at.mkdir()
    subprocess.run([*TARKIT, "mount", "-q", location, at], check=True, timeout=PATIENCE)
    try:
        assert at.is_mount()  # the command returns when the files are there
        yield at
    finally:
        subprocess.run(["fusermount3", "-u", at], check=True, timeout=PATIENCE)
    assert not at.is_mount()


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_tar_finds_no_difference_to_an_unpacked_image(location: str, tmp_path: Path) -> None:
    tar, getfattr = find_tool("tar"), find_tool("getfattr")
    with open_image(location) as image:
        write_directory(image.source, tmp_path / "unpacked")
    with mounted(location, tmp_path / "mnt") as mount:
        # tar compares types, modes, owners, times, sizes, links and contents
        tar("--create", "--file", tmp_path / "mount.tar", "--directory", mount, ".")
        tar("--compare", "--file", tmp_path / "mount.tar", "--directory", tmp_path / "unpacked")
        assert (mount / "bin/tool").stat().st_nlink == 2
        assert (mount / "bin/tool").samefile(mount / "bin/same")
        attributes = getfattr("--dump", "--match=-", "data/attributes", cwd=mount)
        assert 'user.color="blue"' in attributes
        assert len(list((mount / "many").iterdir())) == 3000
        assert (mount / "dangling").readlink() == Path("/nothing")
        assert mount / "latin-\udce9" in mount.iterdir()


def test_the_mount_is_read_only(location: str, tmp_path: Path) -> None:
    with mounted(location, tmp_path / "mnt") as mount:
        with pytest.raises(OSError, match="Read-only"):
            (mount / "new").touch()
        with pytest.raises(OSError, match="Read-only"):
            (mount / "data/big").open("r+b")
        with pytest.raises(OSError, match="Read-only"):
            (mount / "data/big").chmod(0o600)


def test_parts_of_files_are_read_in_any_order(location: str, tmp_path: Path) -> None:
    with mounted(location, tmp_path / "mnt") as mount, (mount / "data/big").open("rb") as file:
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"end"
        file.seek(0)
        assert file.read(10) == bytes(10)
        assert (mount / "many/0042").read_text() == "42"
        assert (mount / "many/0007").read_text() == "7"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_unmounts_in_the_foreground(
    location: str, tmp_path: Path, number: signal.Signals
) -> None:
    process = subprocess.Popen([*TARKIT, "mount", "--foreground", "-q", location, tmp_path])
    try:
        deadline = time.monotonic() + PATIENCE
        while not tmp_path.is_mount():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (tmp_path / "many/0042").read_text() == "42"
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
        assert not tmp_path.is_mount()
    finally:
        process.kill()
        subprocess.run(["fusermount3", "-uz", tmp_path], capture_output=True, check=False)


def test_a_damaged_image_is_reported_and_not_mounted(location: str, tmp_path: Path) -> None:
    layout = Path(location.partition(":")[2])
    for path in (layout / "blobs/sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            target = tmp_path / "layout/blobs/sha256" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data[:-9])
    for path in layout.rglob("*"):
        target = tmp_path / "layout" / path.relative_to(layout)
        if path.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "mnt").mkdir()
    result = subprocess.run(
        [*TARKIT, "mount", "-q", f"oci:{tmp_path / 'layout'}", tmp_path / "mnt"],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert result.returncode == 4
    assert "size mismatch" in result.stderr
    assert not (tmp_path / "mnt").is_mount()
