"""All outputs have the same limits, with the same messages and exit codes."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tarkit.artifacts.build import build_ext4
from tarkit.cli.app import run
from tarkit.errors import UnsupportedError
from tarkit.ext4 import Ext4Options
from tarkit.ext4 import format as ext4_format
from tarkit.protocols import Source
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.output import limits
from tarkit.rootfs.output.directory import write_directory
from tarkit.rootfs.output.tarball import save_tar, stream_tar
from tarkit.rootfs.overlay.overlay import Overlay
from tests.builders import listing
from tests.rootfs.layers import Item, block, char, directory, file, hard, link, source_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")

LINKS = 20  # not 65,000: the tests take long enough


@pytest.fixture(autouse=True)
def fewer_links(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MAX_LINKS == ext4_format.MAX_LINKS == 65_000
    assert limits.MAX_NAME == ext4_format.MAX_NAME
    monkeypatch.setattr(limits, "MAX_LINKS", LINKS)


OUTPUTS: dict[str, Callable[[Source, Path, Overlay | None], object]] = {
    "directory": lambda source, path, overlay: write_directory(source, path, overlay=overlay),
    "tar": lambda source, path, overlay: save_tar(
        source, path.with_suffix(".tar"), overlay=overlay
    ),
    "stream": lambda source, _, overlay: stream_tar(source, io.BytesIO(), overlay=overlay),
    "ext4": lambda source, path, overlay: build_ext4(source, path, overlay=overlay),
    "ext4 of a size": lambda source, path, overlay: build_ext4(
        source, path, Ext4Options(size=64 << 20), overlay=overlay
    ),
}

REFUSED: dict[str, tuple[Sequence[Item], str]] = {
    "name": ([file("d/" + "n" * 256)], "a name of 256 bytes is too long"),
    "name of a directory": ([file("n" * 300 + "/a")], "/n+: a name of 300 bytes is too long"),
    "name of a link": ([file("a"), hard("b" * 999, "a")], "a name of 999 bytes is too long"),
    "long target": ([link("l", "t" * 4096)], "/l: a link target of 4096 bytes is too long"),
    "very long target": ([link("l", "t/" * 40_000)], "80000 bytes is too long"),
    "no target": ([directory("d"), link("d/l", "")], "/d/l: symbolic link with an empty target"),
    "links": (
        [file("a", "x"), *(hard(f"{n}", "a") for n in range(LINKS))],
        f"{LINKS + 1} hard links are too many",
    ),
    "major": ([char("null", 1 << 12, 3)], "/null: invalid device number 4096:3"),
    "minor": ([block("disk", 8, 1 << 20)], "/disk: invalid device number 8:1048576"),
    "owner": ([file("a", "x", uid=(1 << 32) - 1)], "/a: invalid owner 4294967295:0"),
    "group": ([directory("a", gid=(1 << 32) - 1)], "/a: invalid owner 0:4294967295"),
    "owner of the root": ([directory(".", uid=(1 << 32) - 1)], "/: invalid owner 4294967295:0"),
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("compressed", [True, False])
def test_every_output_refuses_invalid_input(
    tmp_path: Path, output: str, case: str, compressed: bool
) -> None:
    layer, problem = REFUSED[case]
    (tmp_path / "to").mkdir()
    with (
        source_of(tmp_path, layer, compressed=compressed) as source,
        pytest.raises(UnsupportedError, match=problem),
    ):
        OUTPUTS[output](source, tmp_path / "to" / "out", None)
    assert listing(tmp_path / "to") == []


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_output_accepts_the_limits(tmp_path: Path, output: str) -> None:
    layer = [
        file("n" * 255 + "/" + "m" * 255, "x"),
        link("l", "t" * 4095),
        *(hard(f"{n}", "n" * 255 + "/" + "m" * 255) for n in range(LINKS - 1)),
        char("null", (1 << 12) - 1, (1 << 20) - 1),
        directory("d", uid=(1 << 32) - 2, gid=(1 << 32) - 2),
    ]
    (tmp_path / "to").mkdir()
    with source_of(tmp_path, layer) as source:
        OUTPUTS[output](source, tmp_path / "to" / "out", None)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("how", ["hidden", "removed"])
def test_hidden_files_may_exceed_limits(tmp_path: Path, output: str, how: str) -> None:
    bad = [
        link("d/long", "t" * 5_000),
        file("d/owner", "x", uid=(1 << 32) - 1),
        file("d/" + "n" * 256),
    ]
    layers = [bad, [file(".wh.d")]] if how == "hidden" else [bad]
    overlay = None if how == "hidden" else Overlay().remove("/d")
    (tmp_path / "to").mkdir()
    with source_of(tmp_path, *layers) as source:
        OUTPUTS[output](source, tmp_path / "to" / "out", overlay)


def test_reading_has_no_limits(tmp_path: Path) -> None:
    layer = [item for case, (items, _) in REFUSED.items() if case != "links" for item in items]
    with source_of(tmp_path, layer) as source, FileSystem.of(source) as files:
        assert sum(1 for _ in files.walk()) > 10


@pytest.mark.parametrize("command", ["rootfs out", "rootfs out.tar", "rootfs out.tgz", "ext4 out"])
@pytest.mark.parametrize("case", ["name", "long target", "no target", "links"])
def test_the_exit_code_is_the_same(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    case: str,
) -> None:
    monkeypatch.setattr("signal.signal", lambda *arguments: None)
    layer, _ = REFUSED[case]
    with source_of(tmp_path, layer):
        verb, out = command.split()
        code = run([verb, "-q", f"oci:{tmp_path / 'layout'}", str(tmp_path / out)])
    assert code == 6
    assert capsys.readouterr().err.count("\n") == 1
    assert listing(tmp_path) == ["layout"]
