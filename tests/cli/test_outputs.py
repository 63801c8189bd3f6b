"""Test outputs that are refused: devices, and the source image itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.hostile.running import run_here

posix_only = pytest.mark.skipif(os.name != "posix", reason="there are no FIFOs")
WRITERS = [
    ("copy", "{source}", "docker-archive:{out}:x:1"),
    ("copy", "{source}", "oci-archive:{out}:x"),
    ("copy", "{source}", "oci:{directory}/layout:x", "--digest-file", "{out}"),
    ("rootfs", "{source}", "{out}.tar"),
    ("ext4", "{source}", "{out}"),
]


def filled(arguments: tuple[str, ...], source: Path, out: Path) -> list[str]:
    names = {"source": str(source), "out": str(out), "directory": str(out.parent)}
    return [argument.format(**names) for argument in arguments]


@posix_only
@pytest.mark.parametrize("arguments", WRITERS, ids=" ".join)
def test_special_files_are_not_replaced(
    fixtures: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    out = tmp_path / "fifo"
    for name in (out, tmp_path / "fifo.tar"):
        os.mkfifo(name)
    run = run_here(*filled(arguments, fixtures / "hello.tar", out))
    assert run.code == 6
    assert run.err.count("\n") == 1
    for name in (out, tmp_path / "fifo.tar"):
        assert stat.S_ISFIFO(name.lstat().st_mode)


@posix_only
def test_output_links_are_followed(fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, real = tmp_path / "link.tar", tmp_path / "there" / "real.tar"
    link.symlink_to(real)
    run = run_here("copy", str(fixtures / "hello.tar"), f"docker-archive:{link}:x:1")
    assert run.code == 0
    assert link.is_symlink()
    assert real.is_file()


@pytest.mark.parametrize("command", ["ext4", "rootfs"])
def test_an_image_is_not_overwritten_by_its_own_files(
    fixtures: Path, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "self.tar"
    data = (fixtures / "hello.tar").read_bytes()
    path.write_bytes(data)
    run = run_here(command, str(path), str(path))
    assert run.code == 6
    assert path.read_bytes() == data


def test_a_password_in_a_name_is_not_shown() -> None:
    run = run_here("list", "docker://user:hunter2@localhost:1/x")
    assert run.code == 2
    assert "hunter2" not in run.out + run.err


def test_bad_digest_file_fails_before_the_copy(fixtures: Path, tmp_path: Path) -> None:
    digest = tmp_path / "no" / "digest"
    source = str(fixtures / "hello.tar")
    run = run_here("copy", source, f"oci:{tmp_path / 'out'}:x", "--digest-file", str(digest))
    assert run.code == 3
    assert list(tmp_path.iterdir()) == []


def test_without_arguments_there_is_help_on_many_lines() -> None:
    run = run_here()
    assert "copy" in run.out
    assert run.out.count("\n") > 10
