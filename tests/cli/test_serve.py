"""``tarkit serve`` in a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.builders import docker_archive, make_image, read_files
from tests.cli.conftest import Tarkit

ROOT = Path(__file__).parent.parent.parent
ONE, TWO = make_image("base", "one"), make_image("base", "two")


@contextmanager
def serving(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tarkit", "serve", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip("\n")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["x.io/team/two:2"]))


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_it_prints_its_address_and_stops_at_a_signal(
    archive: Path, number: signal.Signals, code: int, word: str
) -> None:
    with serving(archive, "-v") as process:
        address = line_of(process.stdout)
        assert line_of(process.stderr) == (
            f"tarkit: serving {address}/one:1, {address}/team/two:2 (read-only; Ctrl-C stops)"
        )
        with urllib.request.urlopen(f"http://{address}/v2/one/tags/list") as answer:
            assert json.load(answer)["tags"] == ["1"]
        assert line_of(process.stderr) == "127.0.0.1 GET /v2/one/tags/list HTTP/1.1 200"
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port))):  # an idle client delays nothing
            process.send_signal(number)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (code, "", f"tarkit: {word}\n")


def test_ctrl_c_leaves_a_layout_clean(tmp_path: Path) -> None:
    with serving(f"oci:{tmp_path / 'new' / 'layout'}", "--writable", "--json") as process:
        assert process.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += process.stdout.readline()
        document = json.loads(text)
        assert document["writable"] is True
        assert document["references"] == []
        assert document["url"] == f"http://{document['address']}"
        request = urllib.request.Request(f"{document['url']}/v2/app/blobs/uploads/", method="POST")
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert sorted(read_files(tmp_path / "new" / "layout")) == ["index.json", "oci-layout"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["docker://127.0.0.1:1/app"], 2, "cannot serve docker://127.0.0.1:1/app"),
        (["docker-daemon:"], 2, "cannot serve docker-daemon:"),
        (["docker-archive:-"], 2, "cannot serve a pipe"),
        (["missing.tar"], 3, "missing.tar"),
        (["docker-archive:{archive}:one:1"], 2, "all images are served"),
        (["{archive}", "--name", "Bad"], 2, "'Bad' is not the name of a repository"),
        (["{archive}", "--writable"], 2, "--writable needs a layout"),
        (["{archive}", "--port", "99999"], 2, "99999"),
        (["{archive}", "--host", "203.0.113.1"], 1, "cannot listen on 203.0.113.1 port 0"),
    ],
)
def test_errors_are_one_line(
    tarkit: Tarkit, archive: Path, arguments: list[str], code: int, message: str
) -> None:
    result = tarkit("serve", *(text.format(archive=archive) for text in arguments))
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert result.err.count("\n") == 1
