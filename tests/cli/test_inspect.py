"""``tarkit inspect``: settings, history, sizes, widths and ``--format``."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tarkit.cli.fitting import facts_text, fitted_table
from tests.builders import docker_archive, image_of, layout_of, make_image, tar, write_files
from tests.cli.conftest import Tarkit

ROOT = Path(__file__).parent.parent.parent
SETTINGS = {
    "User": "1000:1000",
    "WorkingDir": "/srv",
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["echo 'a b'"],
    "Env": ["PATH=/bin", "TOKEN=x\x1b[31m"],
    "ExposedPorts": {"80/tcp": {}, "443/tcp": {}},
    "Volumes": {"/data": {}},
    "Labels": {"multi": "a\nb"},
}
HISTORY = [
    {"created": "2024-01-01T00:00:00Z", "created_by": "COPY . /"},
    {"created": "2024-01-02T00:00:00Z", "created_by": "ENV A=b", "empty_layer": True},
]
RICH = image_of([tar({"a": b"x" * 100})], config=SETTINGS, history=HISTORY)


@pytest.fixture
def rich(tmp_path: Path) -> str:
    return f"docker-archive:{docker_archive(tmp_path / 'save.tar', (RICH, ['rich:1']))}"


def test_settings_history_and_sizes_are_shown(tarkit: Tarkit, rich: str) -> None:
    lines = tarkit("inspect", rich).out.splitlines()
    for line in (
        "Size         10.0 KiB, not compressed",
        "User         1000:1000",
        "Workdir      /srv",
        "Entrypoint   /bin/sh -c",
        "Cmd          'echo '\"'\"'a b'\"'\"''",
        "Ports        443/tcp, 80/tcp",
        "Volumes      /data",
        "Env          PATH=/bin",
        "Env          TOKEN=x\\x1b[31m",
        "Label multi  a\\nb",
        "2024-01-01T00:00:00Z  10.0 KiB  COPY . /",
        "2024-01-02T00:00:00Z  0 B       ENV A=b",
    ):
        assert line in lines


def test_json_is_exact(tarkit: Tarkit, rich: str) -> None:
    document = tarkit("inspect", "--json", rich).document
    assert document["env"] == SETTINGS["Env"]
    assert document["entrypoint"] == SETTINGS["Entrypoint"]
    assert document["cmd"] == SETTINGS["Cmd"]
    assert (document["user"], document["working_dir"]) == ("1000:1000", "/srv")
    assert (document["ports"], document["volumes"]) == (["443/tcp", "80/tcp"], ["/data"])
    assert document["size"] == document["unpacked_size"] == len(RICH.layers[0])
    assert [step["created_by"] for step in document["history"]] == ["COPY . /", "ENV A=b"]


def test_a_command_may_be_a_string(tarkit: Tarkit, tmp_path: Path) -> None:
    image = image_of([tar({"a": b""})], config={"Cmd": "run it"})
    archive = docker_archive(tmp_path / "save.tar", (image, ["x:1"]))
    assert tarkit("inspect", "--json", archive).document["cmd"] == ["run it"]


@pytest.mark.parametrize("settings", [{"Env": "x"}, {"User": 1}, {"Volumes": []}, {"Cmd": [1]}])
def test_malformed_settings_are_one_clear_error(
    tarkit: Tarkit, tmp_path: Path, settings: dict[str, object]
) -> None:
    image = image_of([tar({"a": b""})], config=settings)
    archive = docker_archive(tmp_path / "save.tar", (image, ["x:1"]))
    result = tarkit("inspect", archive)
    assert (result.code, result.err.count("\n")) == (4, 1)
    assert next(iter(settings)) in result.err


@pytest.mark.parametrize("width", [40, 80, 160])
def test_everything_fits_in_the_width(width: int) -> None:
    digest = f"sha256:{'0' * 64}"
    facts = [("Label org.example.a-rather-long-name", "word " * 50), ("Digest", digest)]
    rows = [("LAYER", "SIZE", "DIFF ID"), (digest, "1.0 KiB", digest)]
    for text in (facts_text(facts, width), fitted_table(rows, width)):
        assert max(map(len, text.splitlines())) <= width
    assert digest in facts_text(facts, None)
    assert digest in fitted_table(rows, None)


def test_values_are_wrapped_and_not_cut() -> None:
    lines = facts_text([("Key", "one two three"), ("K", "x" * 30)], 16).splitlines()
    assert lines == [
        "Key  one two",
        "     three",
        "K    xxxxxxxxxxx",
        "     xxxxxxxxxxx",
        "     xxxxxxxx",
    ]


def test_format_fills_a_template(tarkit: Tarkit, rich: str) -> None:
    result = tarkit("inspect", "--format", r'{{.Os}}\t{{join .Env ","}}', rich)
    assert (result.code, result.out) == (0, "linux\tPATH=/bin,TOKEN=x\\x1b[31m\n")


def test_format_json_is_skopeos_document(tarkit: Tarkit, rich: str) -> None:
    document = json.loads(tarkit("inspect", "-f", "json", rich).out)
    assert list(document) == [
        "Digest", "RepoTags", "Created", "DockerVersion", "Labels", "Architecture", "Os",
        "Layers", "LayersData", "Env",
    ]  # fmt: skip
    assert document["Env"] == SETTINGS["Env"]


def test_the_raw_config_is_the_config(tarkit: Tarkit, rich: str) -> None:
    config = tarkit("inspect", "--config", rich)
    assert tarkit("inspect", "--config", "--raw", rich) == config
    assert json.loads(config.out)["architecture"] == "amd64"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "{{.Nope}}"], "template, character 3: no field 'Nope'"),
        (["--format", "{{printf 1}}"], "template, character 3: unknown function 'printf'"),
        (["--format", "{{.Os}}", "--raw"], "--raw and --format are mutually exclusive"),
        (["--config", "--raw", "--json"], "--config and --json are mutually exclusive"),
        (["--format", "{{.Os}}", "--json"], "--json and --format are mutually exclusive"),
    ],
)
def test_format_errors_are_usage_errors(
    tarkit: Tarkit, rich: str, arguments: list[str], message: str
) -> None:
    result = tarkit("inspect", *arguments, rich)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_template_is_checked_before_the_image_is_read(tarkit: Tarkit) -> None:
    assert tarkit("inspect", "--format", "{{", "missing.tar").code == 2


def test_format_of_an_artifact_is_refused(tarkit: Tarkit, tmp_path: Path) -> None:
    files = layout_of(make_image("a"), "a", config_type="application/vnd.test", artifactType="x/y")
    write_files(tmp_path / "in", files)
    assert tarkit("inspect", "--format", "{{.Os}}", f"oci:{tmp_path / 'in'}").code == 6


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("columns", [40, 160])
def test_a_terminal_gets_lines_of_its_width(rich: str, columns: int) -> None:
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {key: text for key, text in os.environ.items() if key != "COLUMNS"}
    with os.fdopen(leader, "rb", buffering=0) as output:
        command = [sys.executable, "-m", "tarkit", "inspect", rich]
        with subprocess.Popen(command, stdout=follower, env=environment, cwd=ROOT) as process:
            os.close(follower)
            text = b""
            with contextlib.suppress(OSError):  # the end of a pseudo-terminal is an error
                while more := output.read(4096):
                    text += more
        assert process.returncode == 0
    lines = text.decode().splitlines()
    assert max(map(len, lines)) <= columns
    assert any("…" in line for line in lines) == (columns == 40)
