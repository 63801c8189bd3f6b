"""Completion in real shells: a key press completes a command, which then runs."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tarkit
from tests.builders import docker_archive, layout_of, make_image, write_files
from tests.conformance.tools import Tool

ROOT = Path(__file__).parents[2]
IMAGE = make_image("one", "two")
PATIENCE = 60  # seconds until a shell must have answered
TAB = "\t"

SHELLS = {
    "bash": ("bash", "--noprofile", "--norc", "-i"),
    "zsh": ("zsh", "-f", "-i"),
    "fish": ("fish", "--no-config", "--interactive"),
}
LOADING = {
    "bash": "source <(tarkit completion bash)",
    "zsh": "autoload -Uz compinit && compinit -u -D; source <(tarkit completion zsh)",
    "fish": "tarkit completion fish | source",
}
LINES = [  # what is typed, and what the completed command prints
    (f"tarkit dig{TAB}docker-archive:im{TAB}", "{digest}"),
    (f"tarkit digest docker-a{TAB}image.tar:my{TAB}", "{digest}"),
    (f"tarkit digest oci:lay{TAB}", "{digest}"),
    (f"tarkit digest oci:layout:st{TAB}", "{digest}"),
    (f"tarkit cat image.tar on{TAB}", "oneoneoneone"),
    (f"tarkit copy --compression zs{TAB}image.tar oci:new:x", "recompressed, 0 reused"),
    (f"tarkit help index rem{TAB}", "Remove images from a multi-platform image"),
]


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(
        self, command: tuple[str, ...], directory: Path, environment: dict[str, str]
    ) -> None:
        self.pid, self._file = pty.fork()
        if self.pid == 0:  # pragma: no cover  the child
            os.chdir(directory)
            os.execvpe(command[0], command, environment)
        self.shown = b""

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def wait_for(self, text: str, start: int) -> None:
        """Wait until *text* is shown after the first *start* bytes."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.shown[start:]:
            ready, _, _ = select.select([self._file], [], [], max(end - time.monotonic(), 0))
            assert ready, self.shown.decode(errors="replace")
            self.shown += os.read(self._file, 4096)

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._file)


@pytest.fixture(params=SHELLS)
def shell(
    request: pytest.FixtureRequest, require_tool: Callable[[str], Tool], tmp_path: Path
) -> Iterator[Terminal]:
    """Return a shell that has loaded the completion, in a directory with images."""
    name: str = request.param
    require_tool(name)
    programs = tmp_path / "bin"
    programs.mkdir()
    script = programs / "tarkit"
    script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m tarkit "$@"\n')
    script.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    docker_archive(work / "image.tar", (IMAGE, ["my:1"]))
    write_files(work / "layout", layout_of(IMAGE, "stable"))
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TERM": "dumb",
        "COLUMNS": "200",
        "LC_ALL": "C.UTF-8",
    }
    terminal = Terminal(SHELLS[name], work, environment)
    try:
        terminal.type(f"{LOADING[name]}\necho rea''dy\n")
        terminal.wait_for("ready", 0)
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(("typed", "answer"), LINES, ids=[line for line, _ in LINES])
def test_a_completed_command_runs(shell: Terminal, typed: str, answer: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    source = "layout" if "oci:lay" in typed else "image.tar"
    with tarkit.open_source(work / source) as image:
        digest = str(image.manifest().digest)
    start = len(shell.shown)
    shell.type(f"{typed}\n")
    shell.wait_for(answer.format(digest=digest), start)
