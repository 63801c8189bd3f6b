"""Run the committed cases, and test the runner itself."""

from __future__ import annotations

import json
import lzma
from importlib import import_module
from pathlib import Path

import pytest

from tests.golden.runner import FILES, Case, cases, main

DATA = Path(__file__).parents[2] / "fixtures" / "golden"


def test_every_committed_case_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(DATA)]) == 0, capsys.readouterr().out
    summary = capsys.readouterr().out.splitlines()[-1]
    count = sum(1 for name in FILES if (DATA / name).exists() for _ in cases(DATA / name))
    passed, failed, skipped = (int(part.split()[0]) for part in summary.split(", "))
    assert (passed + skipped, failed) == (count, 0)
    assert passed >= len(definitions())


def definitions() -> list[Case]:
    return list(cases(DATA / "llb.jsonl"))


@pytest.mark.parametrize("case", definitions(), ids=lambda case: case["name"])
def test_a_definition_has_the_recorded_bytes(case: Case) -> None:
    import_module("tests.golden.llb").run(case)


def test_a_wrong_case_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "llb.jsonl"
    image = next(case for case in definitions() if case["name"] == "image-short-name")
    wrong = [
        image | {"name": "another", "nodes": [{"id": "img", "kind": "image", "ref": "other"}]},
        image | {"name": "no error", "error": "expected"},
        image | {"name": "no such kind", "nodes": [{"id": "img", "kind": "riddle"}]},
    ]
    (tmp_path / name).write_text("".join(json.dumps(case) + "\n" for case in [image, *wrong]))
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 passed, 3 failed, 0 skipped"
    titles = ["another", "no error", "no such kind"]
    assert [line.split(": ")[1] for line in lines if line.startswith(name)] == titles


def test_cases_without_a_module_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FILES, "later.jsonl.xz", "later")
    (tmp_path / "later.jsonl.xz").write_bytes(lzma.compress(b'{"name": "a"}\n{"name": "b"}\n'))
    (tmp_path / "unknown.jsonl").write_text("{}\n")
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "0 passed, 0 failed, 2 skipped\n"


def test_wrong_arguments_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main(["/no/such/directory"]) == 2
    assert "usage: python -m tests.golden DIR" in capsys.readouterr().err
