"""Runs tarkit in this process or a separate one, and lists the files it leaves."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tarkit.__main__ import main

PATIENCE = 60  # seconds until a command counts as hanging
MEASURED = Path(__file__).with_name("measured.py")


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a command. ``peak`` is the resident memory of a separate process in bytes."""

    command: str
    code: int
    out: str
    err: str
    peak: int = 0


class HangError(BaseException):
    """A command did not end within `PATIENCE`.

    This is no Exception, so that tarkit does not catch it.
    """


def run_here(*arguments: str) -> Run:
    """Run tarkit in this process, which is faster than a new one."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        patch.object(sys, "argv", ["tarkit", *arguments]),
        patch.object(tempfile, "tempdir", None),
        patch.object(sys, "unraisablehook", sys.unraisablehook),
        patch.object(threading, "excepthook", threading.excepthook),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patience(),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    return Run(
        " ".join(arguments[:1]), code if isinstance(code, int) else bool(code), text(out), text(err)
    )


def text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """Raise :class:`HangError` if the block takes longer than `PATIENCE`."""

    def ring(number: int, frame: object) -> None:
        raise HangError(f"no result after {PATIENCE} seconds")

    previous = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start tarkit in a separate process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tarkit", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_measured(*arguments: str) -> Run:
    """Run tarkit in a separate process and measure its memory."""
    with tempfile.TemporaryDirectory() as directory:
        peak = Path(directory) / "peak"
        process = subprocess.run(
            [sys.executable, str(MEASURED), str(peak), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        kibibytes = int(peak.read_text()) if peak.exists() else 0
    return Run(arguments[0], process.returncode, process.stdout, process.stderr, kibibytes << 10)


def entries(directory: Path) -> set[str]:
    """Return all paths below *directory*; links are not followed."""
    return {
        str((Path(root) / name).relative_to(directory))
        for root, directories, files in os.walk(directory)
        for name in (*directories, *files)
    }
