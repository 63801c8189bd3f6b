"""Test ``tarkit build --print``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tarkit import llb
from tests.cli.conftest import Tarkit

PROGRAM = """
from helper import PATH
from tarkit import llb

def build(client):
    return llb.image("busybox").run("touch " + PATH).root()

def archive():
    return llb.docker_archive("app.tar", "app:1")

def solving(client):
    return client.solve(build(client))

def nothing():
    pass

def failing():
    return 1 / 0

def invalid():
    return llb.image("a").run().root()

constant = 1
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "helper.py").write_text("PATH = '/x'\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return "program.py"


def test_the_definition_of_a_function_is_printed(tarkit: Tarkit, program: str) -> None:
    document = tarkit("build", program, "--print", "json", "--platform", "linux/arm64").document
    ops = [vertex["op"] for vertex in document["vertices"]]
    assert ops[0]["source"]["identifier"] == "docker-image://docker.io/library/busybox:latest"
    assert ops[1]["exec"]["meta"]["args"] == ["touch", "/x"]
    assert ops[1]["platform"] == {"Architecture": "arm64", "OS": "linux"}
    assert document["source"]["infos"] == [{"filename": "program.py", "language": "Python"}]
    (location, _) = document["source"]["locations"].values()
    assert location["locations"][0]["ranges"][0]["start"] == {"line": 6}


def test_pictures_and_graphs(tarkit: Tarkit, program: str) -> None:
    assert tarkit("build", program, "--print", "dot").out.startswith("digraph {\n")
    assert tarkit("build", program, "--print", "svg").out.startswith("<svg ")


def test_a_location_is_shown_as_it_was_given(tarkit: Tarkit, program: str) -> None:
    document = tarkit("build", f"{program}:archive", "--print", "json").document
    identifier = document["vertices"][0]["op"]["source"]["identifier"]
    assert identifier == "oci-layout://docker-archive:app.tar:app:1"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["program.py:solving", "--print", "json"], 6, "the build uses client.solve, so it cannot"),
        (["program.py:nothing", "--print", "json"], 2, "the function returned NoneType, not a state"),
        (["program.py:failing", "--print", "json"], 2, "program.py:18: ZeroDivisionError: division"),
        (["program.py:invalid", "--print", "json"], 2, "program.py:21: a process needs arguments"),
        (["program.py:constant", "--print", "json"], 2, "no function 'constant'; functions: build, "),
        (["other.py", "--print", "json"], 3, "other.py: no such file"),
        (["program.py", "--print", "png"], 2, "--print"),
    ],
)  # fmt: skip
def test_failures(
    tarkit: Tarkit, program: str, arguments: list[str], code: int, message: str
) -> None:
    result = tarkit("build", *arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert result.err.count("\n") <= 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (\n", "bad.py:1: SyntaxError: '(' was never closed"),
        ("\nimport no_such_module_here\n", "bad.py:2: ModuleNotFoundError: No module named"),
        ("x = 1\n", "bad.py: no function 'build'"),
    ],
)
def test_files_that_cannot_be_used(tarkit: Tarkit, program: str, text: str, message: str) -> None:
    Path("bad.py").write_text(text)
    result = tarkit("build", "bad.py", "--print", "json")
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def build_from(data: bytes) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "tarkit", "build", "-", "--print", "json"]
    return subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)


def test_a_definition_of_another_client_is_read_from_standard_input() -> None:
    definition = llb.image("a").marshal(platform="linux/amd64")
    result = build_from(definition.encode())
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout)["vertices"][0]["digest"] == definition.digests[0]


def test_a_malformed_definition_is_one_line() -> None:
    result = build_from(b"\x0a\xff")
    assert (result.returncode, result.stdout) == (4, b"")
    message = b"number at byte 1 continues behind the end of its message\n"
    assert result.stderr == b"tarkit: standard input: malformed Definition message: " + message


def test_a_terminal_is_no_definition(tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tarkit.cli.definitions.is_terminal", lambda: True)
    result = tarkit("build", "-", "--print", "json")
    assert (result.code, result.out) == (2, "")
    assert result.err == "tarkit: standard input: is a terminal, not a definition\n"
