"""Every example in README.md and docs/ runs, and prints the output that the page shows.

- A ``python`` block is executed; one with ``>>>`` is a doctest. Blocks of a file share their names.
- A ``console`` block holds commands after ``$ `` and their output; ``...`` stands for anything. A command may fail if
  the next one is ``echo $?``.
- A ``sh`` block is a script that succeeds.

Each file has a directory of its own, with ``fixtures/`` in it and the corpus unpacked as ``alpha/``.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = None if os.name == "nt" else shutil.which("sh")

NOT_RUN = {
    ("README.md", "python3 -m venv .venv && .venv/bin/pip install"): 2,  # .ci/run runs both
    ("docs/guides/buildkit.md", ""): 3,
    ("docs/guides/docker-daemon.md", ""): 5,  # need a daemon: run by tests/conformance
}

OPTIONAL = ("fsspec",)  # blocks that import one run only if it is installed; tox installs all

FENCE = re.compile(r"^```(python|console|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced example: its place, language and text."""

    file: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return self.file.relative_to(ROOT).as_posix()

    @property
    def excused(self) -> bool:
        return any(self.name == name and self.text.startswith(start) for name, start in NOT_RUN)

    @property
    def lacks_module(self) -> bool:
        return any(f"import {name}" in self.text and find_spec(name) is None for name in OPTIONAL)


def blocks_of(file: Path) -> list[Block]:
    text = file.read_text(encoding="utf-8")
    return [
        Block(file, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in FENCE.finditer(text)
    ]


BLOCKS = {file: blocks_of(file) for file in FILES if "_build" not in file.parts}


@pytest.mark.parametrize(
    "file",
    [file for file, blocks in BLOCKS.items() if blocks],
    ids=lambda file: file.relative_to(ROOT).as_posix(),
)
def test_examples_print_the_expected_output(
    file: Path, fixtures: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fixtures").mkdir()
    shutil.copy(fixtures / "hello.tar", tmp_path / "fixtures")
    shutil.copytree(corpus, tmp_path / "alpha")
    names: dict[str, object] = {}
    for block in BLOCKS[file]:
        if not block.excused and not block.lacks_module:
            run_block(block, names)


def test_only_the_listed_examples_are_not_run() -> None:
    excused = [block for blocks in BLOCKS.values() for block in blocks if block.excused]
    counts = {
        (name, start): sum(b.name == name and b.text.startswith(start) for b in excused)
        for name, start in NOT_RUN
    }
    assert counts == NOT_RUN


def run_block(block: Block, names: dict[str, object]) -> None:
    if block.language == "python":
        run_python(block, names)
    elif SHELL is None:
        return  # Windows has no POSIX shell
    elif block.language == "sh":
        status, output = shell(block.text)
        assert status == 0, f"{block.name}:{block.line}\n{output}"
    else:
        run_console(block)


def run_python(block: Block, names: dict[str, object]) -> None:
    if not block.text.startswith(">>>"):
        padding = "\n" * block.line  # so that a traceback shows the line of the file
        exec(compile(padding + block.text, block.name, "exec"), names)
        return
    example = doctest.DocTestParser().get_doctest(
        block.text, names, block.name, block.name, block.line
    )
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(example, out=report.append, clear_globs=False)
    names.update(example.globs)
    assert not report, "".join(report)


def run_console(block: Block) -> None:
    commands = list(commands_of(block))
    status = 0
    for number, (command, expected) in enumerate(commands):
        status, output = shell(command, before=status)
        followers = [following for following, _ in commands[number + 1 : number + 2]]
        place = f"{block.name}:{block.line}: $ {command}\n{output}"
        assert status == 0 or followers == ["echo $?"], place
        matches = doctest.OutputChecker().check_output(expected, output, FLAGS)
        assert matches, f"{place}\nis not what is expected:\n{expected}"


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Yield each command with its expected output; a command continues after a backslash at a line's end."""
    before, *parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    assert not before, f"{block.name}:{block.line}: a console block starts with '$ '"
    for part in parts:
        lines = part.splitlines(keepends=True)
        length = next(n for n, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        yield "".join(lines[:length]).rstrip("\n"), "".join(lines[length:])


def shell(script: str, before: int = 0) -> tuple[int, str]:
    """Return the exit code and output of *script*, which sees *before* as ``$?``."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",  # output and errors in the order a terminal shows them
    }
    environment.pop("FORCE_COLOR", None)
    result = subprocess.run(
        [SHELL or "sh", "-c", f"(exit {before})\n{script}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        timeout=120,
        check=False,
    )
    return result.returncode, result.stdout
