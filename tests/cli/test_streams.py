"""Test closed standard streams and partial writes."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tarkit.cli.app import run
from tests.builders import check_layout, docker_archive, image_of, noise, read_files, tar

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def sh(command: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run *command* in a shell in *directory*, with ``tarkit`` from this interpreter."""
    script = f'tarkit() {{ {shlex.quote(sys.executable)} -m tarkit "$@"; }}\n{command}'
    return subprocess.run(
        ["sh", "-c", script],
        cwd=directory,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        "copy docker-archive:- oci:out <&-",
        "verify - <&-",
        "list - <&-",
        "copy {save}:one:1 docker-archive:-:a:1 >&-",
        "inspect --raw {save}:one:1 >&-",
        "cat {save}:one:1 base.txt >&-",
        "rootfs {save}:one:1 - >&-",
        "list {save} >&-",
        "list --json {save} >&-",
        "inspect {save}:one:1 >&-",
        "inspect --json {save}:one:1 >&-",
        "verify {save} >&-",
        "verify --json {save} >&-",
        "ls {save}:one:1 >&-",
        "diff {save}:one:1 {save}:two:1 >&-",
        "--version >&-",
        "--help >&-",
        "list --help >&-",
    ],
)
def test_a_stream_that_is_needed_and_closed_is_an_error(
    save: str, tmp_path: Path, command: str
) -> None:
    run = sh(f"tarkit {command.format(save=save)}", tmp_path)
    assert run.returncode == 1
    if " --json " in command:
        last = json.loads(run.stderr.splitlines()[-1])
        assert last == {"event": "error", "message": "standard output: is closed", "exit_code": 1}
    else:
        assert re.fullmatch(r"tarkit: standard (in|out)put: is closed\n", run.stderr)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("login localhost:1", 2, "no user name"),
        ("login -u me localhost:1", 2, "no password given, and no terminal to prompt for it"),
        ("login -u me --password-stdin localhost:1", 1, "standard input: is closed"),
        ("inspect --creds me docker://localhost:1/x", 2, "no password given, and no terminal"),
    ],
)
def test_prompts_fail_if_stdin_is_closed(
    tmp_path: Path, command: str, code: int, words: str
) -> None:
    run = sh(f"tarkit {command} <&-", tmp_path)
    assert run.returncode == code
    assert run.stderr.startswith(f"tarkit: {words}")
    assert run.stderr.count("\n") == 1


def test_closed_output_streams_are_no_error(save: str, tmp_path: Path) -> None:
    assert sh(f"tarkit copy {save}:one:1 oci:out:x 2>&-", tmp_path).returncode == 0
    check_layout(read_files(tmp_path / "out"))


@pytest.mark.parametrize(
    "command", ["copy {save} oci:out:x", "ext4 {save} out", "rootfs {save} out"]
)
def test_a_complete_output_counts_if_stdout_is_closed(
    save: str, tmp_path: Path, command: str
) -> None:
    run = sh(f"tarkit {command.format(save=save + ':one:1')} >&-", tmp_path)
    assert run.returncode == 0
    assert (tmp_path / "out").exists()


def test_messages_do_not_go_to_stdout_if_stderr_is_closed(save: str, tmp_path: Path) -> None:
    sh(f"tarkit rootfs {save}:one:1 - > heard.tar", tmp_path)
    assert sh(f"tarkit rootfs {save}:one:1 - 2>&- > a.tar", tmp_path).returncode == 0
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "heard.tar").read_bytes()
    copied = sh(f"tarkit copy --json {save}:one:1 oci:out:x 2>&-", tmp_path)
    assert json.loads(copied.stdout)["digest"]
    failed = sh("tarkit list oci:gone 2>&-", tmp_path)
    assert (failed.returncode, failed.stdout) == (3, "")


BIG = image_of([tar({"big": noise(200 << 10)})], config={"Env": [f"NOISE={noise(4096).hex()}"]})


@pytest.fixture
def big(tmp_path: Path) -> str:
    return str(docker_archive(tmp_path / "big.tar", (BIG, ["x:1"])))


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_on_stdout_is_an_error(big: str, tmp_path: Path, unbuffered: str) -> None:
    command = f"(ulimit -f 100; tarkit cat {big} big > out)"
    run = sh(command, tmp_path, PYTHONUNBUFFERED=unbuffered)
    assert run.returncode == 6
    assert "no space left" in run.stderr


class Sips(io.RawIOBase):
    """An unbuffered stream, which may accept only a part of each write."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        sip = bytes(data)[:1000]
        self.data += sip
        return len(sip)


@pytest.mark.parametrize(
    "arguments",
    [
        ("cat", "{big}", "big"),
        ("inspect", "--config", "{big}"),
        ("copy", "-q", "{big}", "docker-archive:-:x:1"),
        ("rootfs", "-q", "{big}", "-"),
    ],
)
def test_partial_writes_are_completed(
    big: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    command = [argument.format(big=big) for argument in arguments]
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    sips, whole = Sips(), io.BytesIO()
    for output in (sips, whole):
        with io.TextIOWrapper(output, write_through=True) as stdout:  # type: ignore[type-var]
            monkeypatch.setattr(sys, "stdout", stdout)
            assert run(command) == 0
            data = whole.getvalue()
    assert bytes(sips.data) == data
    assert len(data) > 4096
