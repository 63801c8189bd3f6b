"""The command line of ``tarkit ext4``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tarkit.cli.app import run
from tarkit.cli.sizes import parse_free, parse_policy, parse_size
from tarkit.errors import UsageError
from tarkit.ext4 import Percent
from tarkit.rootfs.overlay.certificates import encode
from tests.artifacts.images import image, layout
from tests.builders import listing
from tests.rootfs.layers import file
from tests.rootfs.test_overlay import CERTIFICATE

MIB = 1 << 20

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return layout(tmp_path / "layout", image())


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert run(["ext4", "-q", "--json", *map(str, arguments)]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_result_is_printed(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.ext4"
    assert run(["ext4", source, str(output)]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert list(lines) == [
        "path", "size", "used", "inodes", "used_inodes", "uuid", "sha256", "manifest",
    ]  # fmt: skip
    assert lines["path"] == str(output)
    assert int(lines["size"]) == output.stat().st_size
    assert json_of(capsys, source, output)["sha256"] == lines["sha256"]
    assert run(["ext4", "-q", source, str(output)]) == 0
    assert capsys.readouterr() == ("", "")


def test_every_option_has_an_effect(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    uuid = "12345678-1234-5678-1234-567812345678"
    facts = json_of(
        capsys, source, output, "--size", "48M", "--inodes", "3000", "--label", "disk",
        "--uuid", uuid, "--profile", "compat", "--no-sparse",
    )  # fmt: skip
    assert (facts["size"], facts["label"], facts["uuid"]) == (48 * MIB, "disk", uuid)
    assert facts["inodes"] >= 3_000
    assert output.stat().st_blocks * 512 >= 48 * MIB
    facts = json_of(capsys, source, output, "--profile", "ro", "--free", "3M", "--align", "4K")
    assert 3 * MIB <= facts["size"] - facts["used"] < 4 * MIB
    smallest = json_of(capsys, source, output, "--profile", "ro", "--size", "min", "--align", "1M")
    assert smallest["size"] % MIB == 0
    assert smallest["size"] < facts["size"]


def test_overlay_options_change_files(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "added").write_bytes(b"an added file")
    (tmp_path / "ca.pem").write_bytes(encode(CERTIFICATE))
    facts = json_of(
        capsys, source, tmp_path / "out", "--add", f"{tmp_path / 'added'}:/opt/added",
        "--remove", "/etc/kept", "--ca-cert", tmp_path / "ca.pem",
    )  # fmt: skip
    data = Path(facts["path"]).read_bytes()
    assert b"an added file" in data
    assert encode(CERTIFICATE) in data
    assert b"kept kept" not in data


def test_notes_go_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = layout(tmp_path / "layout", image([[file("old", mtime=-(2**33))]]))
    assert run(["ext4", source, str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == (
        "tarkit: 1 inodes have a time that ext4 cannot store; used the nearest\n"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--size", "huge"], 2, "invalid size 'huge'"),
        (["--size", "5"], 2, "size 5 is not a multiple of 4096 bytes; use 4096"),
        (["--ca-cert", __file__], 4, f"{__file__}: no certificate in PEM form"),
        (["--profile", "fast"], 2, "unknown profile 'fast'"),
        (["--uuid", "x"], 2, "invalid UUID 'x'"),
        (["--free", "95%"], 2, "95 percent free is not between 0 and 90"),
        (["--label", "x" * 17], 2, "is longer than 16 bytes"),
        (["--add", "nowhere"], 2, "--add takes SRC:DEST"),
        (["--remove", "/nowhere"], 3, "/nowhere"),
        (["--platform", "linux/s390x"], 3, "no image for linux/s390x"),
        (["--size", "1M"], 6, "1048576 are allowed"),
    ],
)
def test_errors_are_one_line(
    source: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert run(["ext4", source, str(tmp_path / "out"), *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert listing(tmp_path) == ["layout"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_leaves_nothing(source: str, tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
import sys
import time
from tarkit.__main__ import main
from tarkit.ext4 import Ext4Writer
def finish(self, root, on_settled):
    print("writing", flush=True)
    time.sleep(60)
Ext4Writer.finish = finish
sys.argv = ["tarkit", "ext4", {source!r}, {str(tmp_path / "out")!r}]
main()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(number)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    assert listing(tmp_path) == ["layout"]


def test_sizes_may_have_suffixes() -> None:
    assert [parse_size(text) for text in ("0", "512", "4k", "512M", "2GiB", "1TB")] == [
        0, 512, 4 << 10, 512 << 20, 2 << 30, 1 << 40,
    ]  # fmt: skip
    assert [parse_policy(text) for text in ("auto", "min", "1G")] == ["auto", "min", 1 << 30]
    assert [parse_free(text) for text in ("10%", "0", "5M")] == [Percent(10), 0, 5 << 20]
    for text in ("", "-1", "1.5G", "G", "1 G", "٣", "1e3", "10%%", "1X"):
        with pytest.raises(UsageError):
            parse_free(text)
