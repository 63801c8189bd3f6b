"""Test signals at every stage: imports, work, cleanup, and after the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tarkit.cli import app, live, signals
from tarkit.cli.signals import Signals

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
WORDS = {130: "interrupted", 143: "terminated", 129: "terminated"}


class ExitedError(BaseException):
    """Raised instead of ending the process."""


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """Return the installed handlers; ``os._exit`` raises."""
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(signal, "getsignal", handlers.get)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)

    def leave(code: int) -> None:
        raise ExitedError(code)

    monkeypatch.setattr(os, "_exit", leave)
    return handlers


@pytest.mark.parametrize("number", CODES)
def test_a_signal_before_the_work_ends_the_process_at_once(
    handlers: dict[int, Any], capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    Signals().install()
    with pytest.raises(ExitedError, match=str(CODES[number])):
        handlers[number](number, None)
    assert capsys.readouterr().err == f"tarkit: {WORDS[CODES[number]]}\n"


def test_a_second_signal_does_not_interrupt_the_cleanup_but_a_later_one_ends_it(
    handlers: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(signals, "monotonic", lambda: now[0])
    running = Signals()
    running.install()
    running.working()
    with pytest.raises(KeyboardInterrupt):
        handlers[signal.SIGINT](signal.SIGINT, None)
    now[0] += 0.5
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    now[0] += 1
    with pytest.raises(ExitedError, match="143"):
        handlers[signal.SIGTERM](signal.SIGTERM, None)


def test_a_signal_cancels_the_work_in_all_threads(handlers: dict[int, Any]) -> None:
    running = Signals()
    running.install()
    running.working()
    assert running.exception() is None
    with pytest.raises(KeyboardInterrupt):
        handlers[signal.SIGINT](signal.SIGINT, None)
    assert running.cancellation.cancelled
    assert isinstance(running.exception(), KeyboardInterrupt)


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="Windows has no such timer")
def test_an_exception_that_python_ignored_is_raised_again_until_it_is_reported(
    handlers: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    running = Signals()
    running.install()
    running.working()
    with pytest.raises(KeyboardInterrupt) as ignored:
        handlers[signal.SIGINT](signal.SIGINT, None)
    sys.unraisablehook(SimpleNamespace(exc_value=ignored.value))
    with pytest.raises(KeyboardInterrupt):
        handlers[signal.SIGALRM](signal.SIGALRM, None)
    running.exception()
    handlers[signal.SIGALRM](signal.SIGALRM, None)


@pytest.mark.parametrize("error", [RuntimeError("reentrant call"), OSError(5, "no terminal")])
def test_a_failing_announcement_does_not_replace_the_exception_of_the_signal(
    handlers: dict[int, Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    frozen = []

    class Lines:
        def freeze(self) -> None:
            frozen.append(error)
            raise error

    monkeypatch.setattr(live, "_shown", Lines())
    running = Signals()
    running.install()
    running.working()
    with pytest.raises(KeyboardInterrupt):
        handlers[signal.SIGINT](signal.SIGINT, None)
    assert frozen == [error]


@pytest.mark.parametrize("number", CODES)
def test_an_error_of_the_cleanup_does_not_hide_the_signal(
    capsys: pytest.CaptureFixture[str], number: signal.Signals
) -> None:
    code = CODES[number]
    cause = KeyboardInterrupt() if code == 130 else SystemExit(code)
    assert app.run(["inspect", "oci:missing"], signalled=lambda: cause) == code
    assert capsys.readouterr().err == f"tarkit: {WORDS[code]}\n"


@pytest.mark.parametrize("number", CODES)
def test_a_signal_after_the_end_keeps_the_exit_code(handlers: dict[int, Any], number: int) -> None:
    running = Signals()
    running.install()
    running.working()
    running.finished(4)
    with pytest.raises(ExitedError, match="4"):
        handlers[number](number, None)


def test_ignored_signals_stay_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    Signals().install()
    assert list(handlers) == [signal.SIGTERM]


def run_with_signal(number: int, when: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tarkit in a process in which the code *when* decides when a signal is sent."""
    code = f"""
        import os, signal, sys
        def now():
            os.kill(os.getpid(), {int(number)})
        {when}
        sys.argv = ["tarkit", *{arguments!r}]
        from tarkit.__main__ import main
        main()
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


IMPORTING = """
        class Finder:
            def find_spec(self, name, *arguments):
                if name == {name!r}:
                    now()
        sys.meta_path.insert(0, Finder())
"""
MODULES = (
    "tarkit.cli.signals",  # where Python's own handler is still in place
    "tarkit.cli.app",
    "typer",
    "tarkit.cli.copy",
    "tarkit.transports.docker_archive.reader",
)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("number", CODES)
def test_a_signal_while_modules_are_imported(
    save: str, tmp_path: Path, number: int, name: str
) -> None:
    when = IMPORTING.format(name=name).strip()
    out = tmp_path / "out"
    result = run_with_signal(number, when, "copy", f"{save}:one:1", f"oci:{out}:x")
    if name == MODULES[0] and number != signal.SIGINT:
        assert (result.returncode, result.stderr) == (-number, "")  # which shells report as 128 + N
    else:
        assert result.returncode == CODES[signal.Signals(number)]
        assert result.stderr == f"tarkit: {WORDS[result.returncode]}\n"
    assert not out.exists()


LOST = """
        import tarkit.streams.verify as module
        class Dying:
            def __del__(self):
                now()
        original = module.VerifyingReader._finish
        def finish(self):
            if not hasattr(module, "done"):
                module.done = Dying()
                module.done = None
                import time
                time.sleep(60)
            original(self)
        module.VerifyingReader._finish = finish
"""


@pytest.mark.parametrize("number", CODES)
def test_a_signal_in_a_finalizer_is_not_lost(save: str, tmp_path: Path, number: int) -> None:
    result = run_with_signal(number, LOST.strip(), "inspect", f"{save}:one:1")
    assert result.returncode == CODES[signal.Signals(number)]
    assert result.stderr == f"tarkit: {WORDS[result.returncode]}\n"
