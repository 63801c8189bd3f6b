"""Every hostile, broken or odd input gets the right exit code and one line, and leaves nothing."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from unittest.mock import patch

import pytest

from fixtures.hostile import CASES
from fixtures.hostile.case import BYTES, EVERYTHING, Case
from fixtures.make_hostile import main as make_hostile
from tarkit import Location, copy_image, errors, open_source, open_writer
from tests.hostile.running import Run, entries, patience, run_here, run_measured

MEMORY = 100 << 20  # bytes a process may have resident, for any input

LIGHT = [case for case in CASES if not case.heavy]
HEAVY = [case for case in CASES if case.heavy]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory as TMPDIR."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


def arguments(case: Case, command: str, path: Path, out: Path) -> list[str]:
    location = case.location.format(path=path)
    if command != "copy":
        return [command, location]
    return [command, location, f"oci:{out}:x", *case.options]


def check(case: Case, run: Run) -> None:
    """Check the properties that hold for every command and result."""
    expected = {case.exit_code}
    if run.command not in case.commands:
        expected |= {0}
    if run.command == "verify" and (case.exit_code == 6 or "verify" not in case.commands):
        expected |= {4}  # verify checks more, and reports unsafe or unsupported content as findings
    assert run.code in expected, run
    assert "Traceback" not in run.err
    assert all(line.isprintable() for line in (run.out + run.err).split("\n"))
    if run.code not in (0, 4) or (run.code == 4 and run.command != "verify"):
        assert run.err.startswith("tarkit: ")
        assert run.err.count("\n") == 1
        assert len(run.err) < 2000


def check_left_behind(run: Run, outputs: Path, temporary: Path) -> None:
    """Check that only a successful copy leaves files."""
    expected = {"layout"} if run.command == "copy" and run.code == 0 else set()
    assert {path.name for path in outputs.iterdir()} == expected
    assert entries(temporary) == set()


@pytest.mark.parametrize("case", LIGHT, ids=lambda case: case.name)
def test_every_command_handles_the_input(case: Case, tmp_path: Path, temporary: Path) -> None:
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    path = case.build(inputs)
    before = entries(inputs)
    for command in reversed(EVERYTHING):
        command_line = arguments(case, command, path, outputs / "layout")
        run = run_here(*command_line)
        check(case, run)
        check_left_behind(run, outputs, temporary)
        assert entries(inputs) == before
        if command != "copy" and case.error is None:
            assert isinstance(json.loads(run_here(*command_line, "--json").out), dict)


@pytest.mark.parametrize(
    ("case", "command"),
    [(case, command) for case in HEAVY for command in case.commands if command in BYTES],
    ids=lambda value: value.name if isinstance(value, Case) else value,
)
def test_heavy_inputs_are_read_in_bounded_memory(
    case: Case, command: str, tmp_path: Path, temporary: Path
) -> None:
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    run = run_measured(*arguments(case, command, case.build(inputs), outputs / "layout"))
    check(case, run)
    check_left_behind(run, outputs, temporary)
    assert 0 < run.peak < MEMORY


@pytest.mark.parametrize(
    "case", [c for c in LIGHT if "copy" in c.commands and not c.options], ids=lambda case: case.name
)
def test_the_library_raises_the_typed_error(case: Case, tmp_path: Path) -> None:
    location = case.location.format(path=case.build(tmp_path))
    if case.error is None:
        copy(location, tmp_path / "copy")
        return
    with pytest.raises(getattr(errors, case.error)) as caught:
        copy(location, tmp_path / "copy")
    assert str(caught.value).isprintable()
    assert not (tmp_path / "copy").exists()


def copy(location: str, out: Path) -> None:
    """Copy with the library instead of the command line."""
    destination = Location.parse(f"oci:{out}:x")
    with open_source(location) as source, open_writer(destination) as writer, patience():
        copy_image(source, writer.destination("x"))


def test_file_transports_never_use_the_network(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.name == "layer-with-urls")
    with patch.object(socket, "socket", side_effect=AssertionError("network access")):
        run = run_here(*arguments(case, "copy", case.build(tmp_path), tmp_path / "copy"))
    check(case, run)


def test_the_script_writes_and_lists_every_case(tmp_path: Path) -> None:
    make_hostile(tmp_path / "out")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert [entry["name"] for entry in index] == [case.name for case in CASES]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "index.json",
        *(case.name for case in CASES),
    }


def test_building_a_case_is_deterministic(tmp_path: Path) -> None:
    for case in LIGHT:
        first, second = tmp_path / "1" / case.name, tmp_path / "2" / case.name
        first.mkdir(parents=True)
        second.mkdir(parents=True)
        one, other = case.build(first), case.build(second)
        if one.is_file():
            assert one.read_bytes() == other.read_bytes(), case.name
        assert entries(first) == entries(second)


def test_there_are_many_cases_with_unique_names() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 300


def test_expected_errors_exist() -> None:
    assert {case.error for case in CASES if case.error} <= set(vars(errors))
