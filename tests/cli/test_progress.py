"""Test progress: the text at any width, lines of a log, events as JSON, and a real terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.cli import progress as shown
from tarkit.cli.bars import ProgressText
from tarkit.cli.progress import progress_listener
from tarkit.image.digest import Digest
from tarkit.progress import Event, Progress
from tests.builders import docker_archive, image_of, noise, tar
from tests.cli.conftest import Tarkit

COMMAND = [sys.executable, "-m", "tarkit"]
SCHEMA = Path(__file__).parents[2] / "schemas" / "event.json"
GIB = 1 << 30
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs a pseudoterminal")


def event(kind: Event = Event.ADVANCED, name: str = "", **figures: object) -> Progress:
    digest = Digest.of(name.encode())
    return Progress(
        event=kind,
        digest=digest,
        name=str(digest),
        **{
            "done": GIB // 4,
            "size": GIB,
            "blobs_done": 3,
            "blobs": 12,
            "total_done": GIB,
            "total": 4 * GIB,
            "seconds": 60.0,
        }
        | figures,  # type: ignore[arg-type]
    )


def phase(name: str) -> Progress:
    return Progress(Event.PHASE, None, 0, 0, 0, 0, 0, 0, 0.0, name)


@pytest.mark.parametrize("width", [10, 40, 79, 160])
def test_lines_fit_the_terminal(width: int) -> None:
    text = ProgressText()
    for number in range(20):
        text.add(event(Event.STARTED, f"blob {number}"))
    lines = text.lines(width)
    assert len(lines) == 9  # eight blobs and the total
    assert all(len(line) <= width for line in lines)


def test_a_wide_terminal_shows_everything() -> None:
    text = ProgressText()
    text.add(event())
    blob, total = text.lines(160)
    assert blob.endswith("25%  256.0 MiB of 1.0 GiB")
    assert total.startswith("3 of 12 blobs #######")
    assert total.endswith(" 25%  1.0 GiB of 4.0 GiB  17.1 MiB/s  3:00 left")


def test_a_narrow_terminal_keeps_name_bar_and_percentage() -> None:
    text = ProgressText()
    text.add(event())
    assert text.lines(40) == [
        f"{Digest.of(b'').hex[:12]} #####.................  25%",
        "3 of 12 blobs #####................  25%",
    ]


def test_there_are_no_estimates_at_first_and_no_lines_before_the_first_event() -> None:
    text = ProgressText()
    assert text.lines(160) == []
    assert text.summary() == ""
    text.add(event(seconds=0.5))
    assert "left" not in text.lines(160)[-1]
    text.add(event(total_done=0, seconds=30.0))
    assert "left" not in text.lines(160)[-1]


@pytest.mark.parametrize("end", [Event.FINISHED, Event.FAILED, Event.REUSED])
def test_a_blob_has_a_line_until_it_ends(end: Event) -> None:
    text = ProgressText()
    text.add(event(Event.STARTED, "one"))
    text.add(event(Event.STARTED, "two"))
    text.add(event(end, "one"))
    assert [line[:12] for line in text.lines(80)[:-1]] == [Digest.of(b"two").hex[:12]]


def test_a_phase_replaces_the_blobs_until_the_next_blob() -> None:
    text = ProgressText()
    text.add(event())
    text.add(phase("mksquashfs"))
    assert text.lines(80) == ["mksquashfs"]
    assert text.summary() == "mksquashfs"
    text.add(event())
    assert len(text.lines(80)) == 2


def test_names_from_archives_are_escaped() -> None:
    text = ProgressText()
    text.add(Progress(Event.STARTED, None, 0, 1, 0, 1, 0, 1, 0.0, "\x1b[2Jlayer.tar"))
    assert "\x1b" not in "".join(text.lines(80))


def test_a_log_gets_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(shown, "monotonic", lambda: now[0])
    with progress_listener(as_json=False, quiet=False) as listener:
        assert listener
        for _ in range(50):
            now[0] += 0.5
            listener(event())
    line = "tarkit: 3 of 12 blobs, 1.0 GiB of 4.0 GiB, 17.1 MiB/s, 3:00 left\n"
    assert capsys.readouterr().err == 2 * line


def validator() -> Callable[[object], None]:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(SCHEMA.read_text())).validate


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["copy", "{save}:one:1", "oci:{out}:x"], 0),
        (["verify", "{save}"], 0),
        (["rootfs", "{save}:one:1", "{out}"], 0),
        (["ext4", "{save}:one:1", "{out}"], 0),
        (["ls", "{save}:missing"], 3),
        (["copy", "{save}:one:1"], 2),
    ],
)
def test_all_lines_of_json_mode_are_events_and_the_last_tells_the_outcome(
    tarkit: Tarkit, save: str, tmp_path: Path, arguments: list[str], code: int
) -> None:
    places = {"save": save, "out": tmp_path / "out"}
    result = tarkit(*(argument.format(**places) for argument in arguments), "--json")
    assert result.code == code
    events = [json.loads(line) for line in result.err.splitlines()]
    validate = validator()
    for line in events:
        validate(line)
    if code:
        assert events[-1]["event"] == "error"
        assert events[-1]["exit_code"] == code
    else:
        assert events[-1] == {"event": "end"}


def test_ext4_names_its_phases(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    result = tarkit("ext4", "--json", f"{save}:one:1", tmp_path / "out")
    events = [json.loads(line) for line in result.err.splitlines()]
    names = [event["name"] for event in events if event["event"] == "phase"]
    assert names == ["writing inodes and directories", "hashing"]


def on_terminal(command: list[str], columns: int, when_drawn: Callable[[int], None]) -> str:
    """Run *command* with standard error on a terminal; return the text that it prints there."""
    import fcntl
    import pty
    import struct
    import termios

    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    text = b""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=writing, env=environment | {"TERM": "xterm"}
    ) as process:
        os.close(writing)
        while True:
            try:
                part = os.read(reading, 4096)
            except OSError:  # EIO: the other side is closed
                break
            text += part
            if b" blobs" in part:
                when_drawn(process.pid)
    os.close(reading)
    return text.decode()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the location of an image that takes a while to compress."""
    image = image_of([tar({"data": noise(16 << 20)})])
    return f"docker-archive:{docker_archive(tmp_path_factory.mktemp('in') / 'a.tar', (image, ['a:1']))}"


SLOW = ["--compression", "zstd", "--compression-level", "13"]


@posix_only
@pytest.mark.parametrize("columns", [40, 160])
def test_a_terminal_shows_lines_and_loses_them_at_the_end(
    large: str, tmp_path: Path, columns: int
) -> None:
    command = [*COMMAND, "copy", large, f"oci:{tmp_path / 'out'}:x", *SLOW]
    text = on_terminal(command, columns, lambda _: None)
    assert "of 1 blobs" in text
    assert ("MiB of 16.0 MiB" in text) == (columns == 160)
    last = text.rpartition("\x1b[2K")[2]  # everything drawn before was erased
    assert "of 1 blobs" not in last
    assert "recompressed" in last


@posix_only
def test_ctrl_c_is_answered_at_once(large: str, tmp_path: Path) -> None:
    command = [*COMMAND, "copy", large, f"oci:{tmp_path / 'out'}:x", *SLOW]
    sent: list[int] = []

    def interrupt(pid: int) -> None:
        if not sent:
            sent.append(pid)
            os.kill(pid, signal.SIGINT)

    text = on_terminal(command, 80, interrupt)
    lines = re.sub(r"\r|\x1b\[[?0-9;]*[A-Za-z]", "", text).splitlines()
    assert lines[-2:] == ["tarkit: stopping", "tarkit: interrupted"]
    assert list(tmp_path.iterdir()) == []
