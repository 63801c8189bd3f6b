"""Test tarkit as a process: signals, environment, completion, broken pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import (
    Image,
    docker_archive,
    image_of,
    layout_of,
    listing,
    noise,
    tar,
    write_files,
)
from tests.cli.conftest import ONE

COMMAND = [sys.executable, "-m", "tarkit"]
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the location of an image that takes a while to compress."""
    image: Image = image_of([tar({"data": noise(16 << 20)})])
    return f"docker-archive:{docker_archive(tmp_path_factory.mktemp('in') / 'a.tar', (image, ['a:1']))}"


@posix_only
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("destination", ["oci:{}:x", "docker-archive:{}:x:1", "dir:{}"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_signal_leaves_nothing(
    large: str, tmp_path: Path, number: int, code: int, destination: str, times: int
) -> None:
    slow = ["--compression", "zstd", "--compression-level", "13"]
    command = [*COMMAND, "copy", "--json", large, destination.format(tmp_path / "out"), *slow]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as copy:
        assert copy.stderr is not None
        first = json.loads(copy.stderr.readline())
        assert first["event"] == "started"
        for _ in range(times):  # `timeout` does so twice
            copy.send_signal(number)
        out, err = copy.communicate(timeout=60)
    assert (copy.returncode, out) == (code, "")
    assert json.loads(err.splitlines()[-1]) == {
        "event": "error",
        "message": "interrupted" if code == 130 else "terminated",
        "exit_code": code,
    }
    assert "Traceback" not in err
    assert listing(tmp_path) == []


@posix_only
def test_next_copy_removes_leftovers_of_a_killed_one(large: str, tmp_path: Path) -> None:
    slow = ["--compression", "zstd", "--compression-level", "13"]
    command = [*COMMAND, "copy", "--json", large, f"oci:{tmp_path / 'out'}:x", *slow]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as copy:
        assert copy.stderr is not None
        copy.stderr.readline()
        copy.kill()
    assert not (tmp_path / "out").exists()
    assert run("copy", "-q", large, f"oci:{tmp_path / 'out'}:x").returncode == 0
    assert listing(tmp_path) == ["out"]


def test_no_color_and_no_bar_where_there_is_no_terminal(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    for environment in ({"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}, {}):
        result = run("copy", f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}:x", **environment)
        assert result.returncode == 0
        assert "\x1b" not in result.stdout + result.stderr
    help_text = run("copy", "--help", NO_COLOR="1")
    assert "\x1b" not in help_text.stdout


def test_an_error_has_a_traceback_only_with_debug(tmp_path: Path) -> None:
    gone = f"oci:{tmp_path / 'gone'}"
    plain = run("list", gone)
    assert plain.returncode == 3
    assert plain.stderr.count("\n") == 1
    assert "Traceback (most recent call last)" in run("list", "--debug", gone).stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_names_print_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    write_files(tmp_path / "in", layout_of(ONE, "ünï→"))
    result = subprocess.run(
        [*COMMAND, "list", str(tmp_path / "in")],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        check=False,
    )
    assert result.returncode == 0
    assert "ünï→".encode(encoding, "backslashreplace") in result.stdout


@posix_only
def test_broken_pipe_prints_no_traceback(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    read, write = os.pipe()
    os.close(read)
    try:
        result = subprocess.run(
            [*COMMAND, "list", str(tmp_path / "in")],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_a_pipe_through_two_processes(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    first = subprocess.run(
        [*COMMAND, "copy", "-q", f"oci:{tmp_path / 'in'}", "docker-archive:-:a:1"],
        capture_output=True,
        check=True,
    )
    second = subprocess.run(
        [*COMMAND, "inspect", "--json", "-"], input=first.stdout, capture_output=True, check=True
    )
    assert json.loads(second.stdout)["config_digest"] == ONE.digest


def test_the_version() -> None:
    assert run("--version").stdout.startswith("tarkit ")


def test_without_arguments_there_is_help() -> None:
    result = run()
    assert "Usage: tarkit" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
