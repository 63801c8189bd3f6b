"""Test sources that are not regular files: devices, pipes and standard input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Tarkit
from tests.cli.test_streams import sh

pytestmark = [
    pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no /dev/zero"),
    pytest.mark.timeout(60),  # the failure is an endless read
]

COMMANDS = ["list", "inspect", "verify", "ls"]
DEVICES = ["/dev/zero", "/dev/null", "/dev/urandom"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("prefix", ["", "docker-archive:", "oci-archive:"])
@pytest.mark.parametrize("device", DEVICES)
def test_character_devices_are_refused(
    tarkit: Tarkit, command: str, prefix: str, device: str
) -> None:
    result = tarkit(command, f"{prefix}{device}")
    message = f"tarkit: {device}: is a character device, not an archive\n"
    assert (result.code, result.out, result.err) == (6, "", message)


@pytest.mark.parametrize("location", ["-", "docker-archive:-", "oci-archive:-"])
@pytest.mark.parametrize("command", [*COMMANDS, "copy"])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("</dev/zero", "is a character device, not an archive"),
        ("</dev/null", "is empty; did the command before the pipe fail?"),
    ],
)
def test_standard_input_without_an_archive(
    tmp_path: Path, command: str, location: str, source: str, message: str
) -> None:
    destination = "oci:out:x" if command == "copy" else ""
    run = sh(f"tarkit {command} {location} {destination} {source}", tmp_path)
    assert (run.returncode, run.stderr) == (6, f"tarkit: standard input: {message}\n")
    assert not (tmp_path / "out").exists()


def test_a_command_that_fails_before_the_pipe(tmp_path: Path) -> None:
    run = sh("false | tarkit list -", tmp_path)
    assert run.stderr.endswith("did the command before the pipe fail?\n")


@pytest.mark.parametrize(
    "command",
    [
        "tarkit list /dev/stdin < {archive}",
        "cat {archive} | tarkit list /dev/stdin",
        "cat {archive} | tarkit list -",
        "mkfifo pipe; cat {archive} > pipe & tarkit list pipe",
        "tarkit list /dev/fd/3 3< {archive}",
        "cat {archive} | tarkit list docker-archive:/dev/fd/0",
    ],
)
def test_pipes_and_descriptors_are_read(save: str, tmp_path: Path, command: str) -> None:
    archive = save.removeprefix("docker-archive:")
    run = sh(command.format(archive=archive), tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "one:1" in run.stdout


@pytest.mark.skipif(os.name != "posix", reason="needs FIFOs")
def test_a_fifo_without_an_archive_is_read_only_once(tmp_path: Path) -> None:
    """A second read, to identify the file, would wait for another writer."""
    run = sh("mkfifo pipe; echo junk > pipe & tarkit list pipe", tmp_path)
    assert (run.returncode, run.stderr.count("\n")) == (4, 1)


def test_a_link_is_identified_by_its_target(tarkit: Tarkit, tmp_path: Path) -> None:
    pytest.importorskip("pylibmagic")
    (tmp_path / "text").write_text("#!/bin/sh\necho hello\n" * 100)
    (tmp_path / "link").symlink_to("text")
    result = tarkit("list", tmp_path / "link")
    assert result.code == 6
    assert "link" in result.err
    assert "symbolic link" not in result.err


def test_a_file_that_cannot_be_read_is_named(tarkit: Tarkit) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("there is no /proc/self/mem")
    result = tarkit("list", "docker-archive:/proc/self/mem")
    assert (result.code, result.err) == (1, "tarkit: /proc/self/mem: Input/output error\n")
