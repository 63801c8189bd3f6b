"""Run the command line in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tarkit.cli.app import run
from tests.builders import Doc, docker_archive, make_image

ONE = make_image("base", "one")
TWO = make_image("base", "two")


@dataclass(frozen=True, slots=True)
class Result:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Doc:
        document: Doc = json.loads(self.out)
        return document


Tarkit = Callable[..., Result]


@pytest.fixture
def tarkit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Tarkit:
    """Return a function that runs a command; signal handlers are restored after the test."""
    monkeypatch.setattr("signal.signal", lambda *arguments: None)

    def call(*arguments: str | Path) -> Result:
        capfd.readouterr()
        code = run([os.fspath(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def save(tmp_path: Path) -> str:
    """Return the location of a docker archive with two images."""
    path = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1", "two:2"]))
    return f"docker-archive:{path}"
