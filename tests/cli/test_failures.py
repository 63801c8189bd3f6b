"""Test unexpected failures and failing standard streams: one line, the code, no traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tarkit.cli import failures, messages
from tarkit.streams.verify import VerifyingReader
from tests.builders import check_layout, read_files
from tests.cli.conftest import Tarkit
from tests.cli.test_streams import sh

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyError("x"), 1, "internal error: KeyError: 'x'; please report it (--debug shows the traceback)"),
        (RecursionError(), 1, "internal error: RecursionError; please report it (--debug shows the traceback)"),
        (AssertionError("a\nb"), 1, "internal error: AssertionError: a\\nb; please report it (--debug shows the traceback)"),
        (MemoryError(), 1, "out of memory"),
        (ImportError("too many open files", name="zstandard"), 1, "cannot load zstandard: too many open files"),
        (OSError(errno.EMFILE, "Too many open files", "x"), 1, "x: Too many open files"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "input/output: Cannot allocate memory"),
        (UnicodeError("odd"), 1, "internal error: UnicodeError: odd; please report it (--debug shows the traceback)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("aside", [False, True], ids=["in the main thread", "in a worker"])
def test_every_error_is_one_line(
    tarkit: Tarkit,
    save: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: int,
    line: str,
    aside: bool,
) -> None:
    def fail(reader: VerifyingReader) -> bytes:
        if aside == (threading.current_thread() is threading.main_thread()):
            return chunk(reader)
        raise error

    chunk = VerifyingReader._chunk
    monkeypatch.setattr(VerifyingReader, "_chunk", fail)
    result = tarkit("copy", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x")
    assert (result.code, result.out, result.err) == (code, "", f"tarkit: {line}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_traceback_is_shown_if_asked_for_and_the_code_stays(
    tarkit: Tarkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "variable":
        monkeypatch.setenv("TARKIT_DEBUG", "1")
    option = ["--debug"] if how == "option" else []
    result = tarkit("list", f"oci:{tmp_path / 'gone'}", *option)
    assert result.code == 3
    assert result.err.startswith("Traceback (most recent call last)")
    assert result.err.splitlines()[-1].startswith("tarkit: ")


def test_an_internal_error_of_a_thread_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    failures.report_threads(debug=False)

    def fail() -> None:
        raise LookupError("a bug")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    err = capsys.readouterr().err
    assert err.startswith("tarkit: internal error: LookupError: a bug")
    assert err.count("\n") == 1


@posix_only
@full_device
@pytest.mark.parametrize("buffering", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "command",
    [
        "list {save}",
        "inspect {save}:one:1",
        "inspect --raw {save}:one:1",
        "verify {save}",
        "ls {save}:one:1",
        "ls --json {save}:one:1",
        "cat {save}:one:1 base.txt",
        "diff {save}:one:1 {save}:two:1",
        "rootfs {save}:one:1 -",
        "--version",
        "--help",
        "copy --help",
        "copy {save}:one:1 docker-archive:-:a:1",
    ],
)
def test_a_full_disk_fails_what_is_asked_for(
    save: str, tmp_path: Path, command: str, buffering: str
) -> None:
    result = sh(
        f"tarkit {command.format(save=save)} >/dev/full", tmp_path, PYTHONUNBUFFERED=buffering
    )
    assert result.returncode == 6
    message = "standard output: no space left (No space left on device)"
    if "--json" in command:
        assert json.loads(result.stderr)["message"] == message
    else:
        assert result.stderr == f"tarkit: {message}\n"
    assert result.stderr.count("\n") == 1


@posix_only
@full_device
@pytest.mark.parametrize("buffering", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("options", ["", "--json", "-q"])
@pytest.mark.parametrize(
    "command", ["copy {save}:one:1 oci:out:x", "rootfs {save}:one:1 out", "ext4 {save}:one:1 out"]
)
def test_what_is_published_counts_even_if_it_cannot_be_reported(
    save: str, tmp_path: Path, command: str, options: str, buffering: str
) -> None:
    result = sh(
        f"tarkit {command.format(save=save)} {options} >/dev/full",
        tmp_path,
        PYTHONUNBUFFERED=buffering,
    )
    assert result.returncode == 0
    assert (tmp_path / "out").exists()
    lines = result.stderr.splitlines()
    assert all(line.startswith(("tarkit: ", "{")) for line in lines)
    assert options or command.startswith("rootfs") or "No space left on device" in lines[-1]


@posix_only
@full_device
@pytest.mark.parametrize("options", ["", "--json"])
@pytest.mark.parametrize(
    "shell",
    [
        "{copy} 2>/dev/full >digest; echo $? >code",
        "{copy} 2>&- >digest; echo $? >code",
        "(sleep 0.3; {copy} 2>&1 >digest; echo $? >code) | true",
    ],
    ids=["full", "closed", "nobody reads"],
)
def test_failing_stderr_does_not_change_the_exit_code(
    save: str, tmp_path: Path, shell: str, options: str
) -> None:
    sh(shell.format(copy=f"tarkit copy {options} {save}:one:1 oci:out:x"), tmp_path)
    assert (tmp_path / "code").read_text() == "0\n"
    assert "sha256:" in (tmp_path / "digest").read_text()
    check_layout(read_files(tmp_path / "out"))


@posix_only
@full_device
def test_errors_keep_their_code_if_stderr_is_closed(tmp_path: Path) -> None:
    for stderr in ("/dev/full", "&-"):
        assert sh(f"tarkit list oci:gone 2>{stderr}", tmp_path).returncode == 3


@posix_only
@full_device
def test_the_version_is_asked_for_too(tmp_path: Path) -> None:
    result = sh("tarkit --version >/dev/full", tmp_path)
    assert result.returncode == 6
    assert result.stderr.count("\n") == 1


@posix_only
@pytest.mark.parametrize(
    "setting",
    ["unset HOME;", "export HOME=/nonexistent;", "export LC_ALL=C;", "export TMPDIR=/nonexistent;"],
)
def test_an_odd_environment(save: str, tmp_path: Path, setting: str) -> None:
    for command in (f"copy {save}:one:1 oci:out:x", f"ls {save}:one:1", f"ext4 {save}:one:1 e"):
        result = sh(f"{setting} tarkit {command}", tmp_path)
        assert result.returncode == 0, result.stderr


@posix_only
@pytest.mark.parametrize("command", ["list oci:x", "list {save}", "copy {save}:one:1 oci:out:x"])
def test_a_directory_that_was_deleted(save: str, tmp_path: Path, command: str) -> None:
    result = sh(
        f"mkdir gone; cd gone; rmdir ../gone; tarkit {command.format(save=save)}",
        tmp_path,
        PYTHONPATH=str(Path.cwd()),
    )
    assert result.returncode == (0 if command == "list {save}" else 3)
    assert result.stderr.count("\n") == (result.returncode != 0)


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], None]]]:
    """Return a descriptor of a terminal, and a function that closes it."""
    import pty

    master, slave = pty.openpty()
    open_ends = {master, slave}

    def go_away() -> None:
        os.close(master)
        open_ends.remove(master)

    try:
        yield slave, go_away
    finally:
        for end in open_ends:
            os.close(end)


@posix_only
@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
def test_progress_bar_never_fails_a_copy(save: str, tmp_path: Path, gone: bool) -> None:
    with terminal() as (slave, go_away):
        if gone:
            go_away()
        result = subprocess.run(
            [sys.executable, "-m", "tarkit", "copy", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x"],
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 0
    assert result.stdout.startswith("sha256:")


def test_streams_without_descriptor_can_be_silenced() -> None:
    messages.silence(io.StringIO())
    messages.silence(None)
