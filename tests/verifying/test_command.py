"""Test the output and exit codes of ``tarkit verify``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.hostile.image import docker, replacing
from tarkit.cli.app import run


def test_a_good_archive_is_ok(fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", str(fixtures / "hello.tar")]) == 0
    assert capsys.readouterr() == ("ok\n", "")


def test_findings_are_rows_and_the_exit_code_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = docker(config={("history",): [{}] * 3}, edit=replacing("stray", b""))(tmp_path)
    assert run(["verify", str(path)]) == 4
    message = "the history describes 3 layers, but there are 2"
    assert capsys.readouterr().out.splitlines() == [
        f"error  history-too-long  config.json: {message}",
        "note   unreferenced      stray: no document refers to it",
        "not ok",
    ]
    assert run(["verify", "-q", str(path)]) == 4
    assert capsys.readouterr().out == f"error  history-too-long  config.json: {message}\n"


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = docker(edit=replacing("stray", b""))(tmp_path)
    assert run(["verify", "--json", str(path)]) == 0
    finding = {
        "rule": "unreferenced",
        "severity": "note",
        "where": "stray",
        "message": "no document refers to it",
    }
    assert json.loads(capsys.readouterr().out) == {"ok": True, "findings": [finding]}


@pytest.mark.parametrize(("location", "code"), [("{}/nowhere", 3), ("{}", 6), ("oci:-", 2)])
def test_other_inputs_are_errors(
    tmp_path: Path, location: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", location.format(tmp_path)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tarkit: ")
    assert captured.err.count("\n") == 1
