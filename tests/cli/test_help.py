"""Test the help of every command, and the documents that are generated from the same source."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from tarkit.cli.app import build_app
from tarkit.cli.commands import COMMANDS
from tarkit.cli.examples import EXAMPLES
from tarkit.cli.familiar import FAMILIAR, HIDDEN
from tarkit.cli.manual import ENVIRONMENT, GROUPS, Page, help_lines, pages_of
from tests.cli.conftest import Tarkit

ROOT = Path(__file__).parents[2]
PAGES = {page.path.removeprefix("tarkit").strip(): page for page in pages_of(build_app())}
SHELL_SYNTAX = re.compile(r"^source <\((.*)\)$| [<>]\S+$")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_help_fits_the_terminal(name: str, width: int) -> None:
    page = PAGES[name]
    lines = list(help_lines(page, width))
    fixed = {f"  {line}" for _, line in page.examples}
    fixed |= {f"  {term}" for _, rows in (*page.sections, ("", ENVIRONMENT)) for term, _ in rows}
    longer = [line for line in lines if len(line) > width and line not in fixed]
    assert longer == []
    assert max(map(len, lines)) > 36


@pytest.mark.parametrize("name", PAGES)
def test_the_help_ends_with_the_environment_and_the_exit_codes(tarkit: Tarkit, name: str) -> None:
    result = tarkit(*name.split(), "--help")
    assert (result.code, result.err) == (0, "")
    start, _, end = result.out.partition("\nEnvironment:\n")
    assert "TARKIT_DEBUG" in end
    assert "6 refused; 130 interrupted" in " ".join(end.split())
    assert "\nExamples:\n" in start
    assert "\nOutput:\n" in start
    assert tarkit("help", *name.split()) == result
    assert tarkit(*name.split(), "-h") == result


def test_the_help_is_as_wide_as_the_terminal(
    tarkit: Tarkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    wide = tarkit("copy", "-h").out
    assert 120 < max(map(len, wide.splitlines())) <= 150


@pytest.mark.parametrize("name", PAGES)
def test_every_command_has_two_or_three_examples(name: str) -> None:
    assert len(PAGES[name].examples) in (2, 3)


def test_examples_belong_to_commands() -> None:
    assert EXAMPLES.keys() == PAGES.keys()


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, page in PAGES.items() for _, line in page.examples]
)
def test_examples_are_valid(name: str, line: str) -> None:
    line = SHELL_SYNTAX.sub(lambda match: match[1] or "", line)
    program, *arguments = shlex.split(line)
    assert program == "tarkit"
    command: Any = build_app()
    context = typer.Context(command, info_name="tarkit")
    path = []
    while isinstance(command, TyperGroup):
        path.append(arguments.pop(0))
        command = command.get_command(context, path[-1])
    assert " ".join(path).startswith(name) or not name
    with command.make_context(path[-1], arguments, parent=context):
        pass  # an unknown option or a missing argument would raise


def test_options_are_in_groups() -> None:
    titles = [title for title, _ in PAGES["copy"].sections]
    assert titles == ["Arguments", "Options", *(name for name in GROUPS if name != "Files")]
    rows = dict(PAGES["copy"].sections)
    assert ("--cert-dir PATH", rows["Registry"][3][1]) == rows["Registry"][3]
    assert "--compression auto|preserve|gzip|zstd|none" in dict(rows["Layers"])


def test_options_of_other_tools_are_hidden_and_explained() -> None:
    shown = "\n".join("\n".join(help_lines(page, 200)) for page in PAGES.values())
    words = set(re.findall(r"(?<![\w-])--?[a-z][\w.-]*", shown))
    assert words & (HIDDEN - {"-a"}) == set()
    hidden = {name for name, option in all_options() if option.hidden or name in HIDDEN}
    assert hidden - HIDDEN == set()
    assert HIDDEN - hidden == set()
    assert len(HIDDEN) == sum(len(option.names) for option in FAMILIAR)


def all_options() -> list[tuple[str, Any]]:
    """Return every name of every option, and the option."""
    found = []
    context = typer.Context(build_app(), info_name="tarkit")
    commands: list[Any] = [context.command]
    for command in commands:
        if isinstance(command, TyperGroup):
            names = command.list_commands(context)
            commands += [command.get_command(context, name) for name in names]
        for option in command.params:
            if option.param_type_name == "option":
                found += [(name, option) for name in (*option.opts, *option.secondary_opts)]
    return found


def test_every_option_has_a_test() -> None:
    """An option that no test mentions has none."""
    texts = (path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("*.py")))
    mentioned = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w.-]*", "\n".join(texts)))
    assert sorted({name for name, _ in all_options()} - mentioned) == []


def test_every_variable_is_explained() -> None:
    """Variables of the command line; those of the library's cache have no command yet."""
    texts = "".join(path.read_text("utf-8") for path in (ROOT / "tarkit").rglob("*.py"))
    used = set(re.findall(r'(?:environ|environment)(?:\.get\(|\[)"([A-Z_]+)"', texts))
    explained = {name for names, _ in ENVIRONMENT for name in names.split(", ")}
    # GIT_CONFIG_COUNT is passed to the program git
    assert used - explained <= {"XDG_CACHE_HOME", "HOME", "LC_ALL", "GIT_CONFIG_COUNT"}


def test_every_command_is_listed(tarkit: Tarkit) -> None:
    listed = re.findall(r"^  (\w+)  ", tarkit("help").out, re.MULTILINE)
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    assert tarkit().out == tarkit("--help").out == tarkit("help").out


@pytest.mark.parametrize("words", [["nope"], ["copy", "copy"], ["index", "nope"]])
def test_help_for_an_unknown_command(tarkit: Tarkit, words: list[str]) -> None:
    result = tarkit("help", *words)
    assert (result.code, result.out) == (2, "")
    assert f"no such command {' '.join(words)!r}" in result.err


def writer() -> ModuleType:
    """Return the script that writes the generated documents."""
    spec = importlib.util.spec_from_file_location("write", ROOT / "docs" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_and_the_man_page_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for path, text in writer().documents().items():
        assert path.read_text("utf-8") == text, "run: python docs/write_reference.py"


def test_the_wheel_contains_the_man_page() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"docs/man/tarkit.1": "share/man/man1/tarkit.1"}
    assert (ROOT / "docs" / "man" / "tarkit.1").is_file()


def test_the_man_page_has_every_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    page = Page("tarkit", "tarkit", ("a-b 'c' \\d.",), (("Output", ((".x", ""),)),), ())
    text: str = writer().man_page([page])
    assert "tarkit \\- a\\-b \\(aqc\\(aq \\ed." in text
    assert "\n.B \\&.x\n" in text
    sections = re.findall(r"^\.SH (.*)$", text, re.MULTILINE)
    assert sections[0] == "NAME"
    assert sections[-3:] == ["ENVIRONMENT", "EXIT STATUS", "OPTIONS OF OTHER TOOLS"]
