"""The commands ls, cat, diff and rootfs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tarkit.cli.app import run
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.overlay.certificates import encode
from tests.builders import docker_archive, image_of, layout_of, write_files
from tests.rootfs.layers import char, directory, file, link, pack
from tests.rootfs.test_overlay import CERTIFICATE

LAYERS = [
    pack([directory("etc"), file("etc/motd", "Welcome.\n"), file("old"), char("null", 1, 3)]),
    pack([file(".wh.old"), link("motd", "etc/motd"), file("line\nbreak", mtime=1 << 40)]),
]


@pytest.fixture
def image(tmp_path: Path) -> str:
    return str(docker_archive(tmp_path / "image.tar", (image_of(LAYERS), ["app"])))


def output_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(list(arguments)) == code
    return capsys.readouterr().out


def json_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(output_of(capsys, *arguments, "--json", code=code))
    return document


@pytest.mark.parametrize("command", ["rootfs", "ext4", "squashfs"])
@pytest.mark.parametrize("kind", ["missing", "device below a directory"])
def test_files_to_add_are_checked_before_layers_are_read(
    image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    kind: str,
) -> None:
    source = tmp_path / "source"
    if kind != "missing":
        source.mkdir()
        os.mkfifo(source / "pipe")
    opened: list[object] = []
    for way in ("open", "open_seekable"):
        monkeypatch.setattr(ImageLayers, way, lambda *_: opened.append(_))
    for output in ["out", "out.tar"] if command == "rootfs" else ["out"]:
        code = run([command, "--json", image, str(tmp_path / output), "--add", f"{source}:/x"])
        assert code == (3 if kind == "missing" else 6)
        assert str(source) in capsys.readouterr().err
    assert opened == []


def test_ls_lists_everything(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = output_of(capsys, "ls", image).splitlines()
    assert [line.split()[-1] for line in lines] == [
        "/", "/etc", "/etc/motd", "/line\\nbreak", "etc/motd", "/null",
    ]  # fmt: skip
    assert lines[2].split() == [
        "-rw-r--r--", "1", "0:0", "9", "2023-11-14T22:13:20Z", "0", "/etc/motd",
    ]  # fmt: skip
    assert "@1099511627776" in lines[3]
    assert lines[4].startswith("lrwxrwxrwx")
    assert "1,3" in lines[5]


def test_ls_of_a_path_lists_that_subtree(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    entries = json_of(capsys, "ls", image, "etc")["entries"]
    assert [entry["path"] for entry in entries] == ["/etc", "/etc/motd"]
    assert entries[1] | {"mtime_ns": 0} == {
        "path": "/etc/motd", "type": "file", "mode": "0644", "uid": 0, "gid": 0, "size": 9,
        "mtime_ns": 0, "links": 1, "layer": 0,
    }  # fmt: skip
    assert run(["ls", image, "nowhere"]) == 3


def test_ls_summarizes_each_layer(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    layers = json_of(capsys, "ls", image, "--layers")["layers"]
    assert [(layer["entries"], layer["bytes"]) for layer in layers] == [(4, 9), (2, 8)]


def test_cat_follows_links(image: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["cat", image, "/motd"]) == 0
    assert capfdbinary.readouterr().out == b"Welcome.\n"
    assert run(["cat", image, "/line\nbreak"]) == 0
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize(("path", "code"), [("/old", 3), ("/etc", 6), ("/null", 6)])
def test_cat_fails_if_the_path_is_not_a_file(image: str, path: str, code: int) -> None:
    assert run(["cat", image, path]) == code


def test_cat_verifies(image: str) -> None:
    archive = Path(image)
    archive.write_bytes(archive.read_bytes().replace(b"Welcome.\n", b"Welcome!\n"))
    assert run(["cat", image, "/etc/motd"]) == 4


def test_diff_says_whether_images_differ(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files(tmp_path / "layout", layout_of(image_of(LAYERS)))
    write_files(tmp_path / "less", layout_of(image_of(LAYERS[:1])))
    assert output_of(capsys, "diff", image, f"oci:{tmp_path / 'layout'}") == ""
    lines = output_of(capsys, "diff", image, f"oci:{tmp_path / 'less'}", code=1)
    assert lines.splitlines() == ["- /line\\nbreak", "- /motd", "+ /old"]
    found = json_of(capsys, "diff", image, f"oci:{tmp_path / 'less'}", code=1)["differences"]
    assert found[0] == {"path": "/line\nbreak", "kind": "removed"}


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_rootfs_makes_a_directory(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ca.pem").write_bytes(encode(CERTIFICATE))
    target = tmp_path / "out"
    result = json_of(
        capsys, "rootfs", image, str(target), "-q", "--remove", "/motd",
        "--add", f"{tmp_path / 'ca.pem'}:/etc/", "--ca-cert", str(tmp_path / "ca.pem"),
    )  # fmt: skip
    assert (result["path"], result["entries"]) == (str(target), 9)
    assert (target / "etc" / "ca.pem").read_bytes() == encode(CERTIFICATE)
    assert (target / "etc/ssl/certs/ca-certificates.crt").read_bytes() == encode(CERTIFICATE)
    assert not (target / "motd").exists()
    assert run(["rootfs", image, str(target)]) == 6


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_rootfs_makes_a_tar_or_a_stream(
    image: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run(["rootfs", image, str(tmp_path / "out.tar"), "-q"]) == 0
    capfdbinary.readouterr()
    assert run(["rootfs", image, "-", "-q"]) == 0
    assert capfdbinary.readouterr().out == (tmp_path / "out.tar").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        ["-", "--json"],
        ["out.tar", "--rootless"],
        ["out", "--add", "x"],
        ["out", "--add", ":x"],
        ["out.tar.xz"],
    ],
)
def test_conflicting_options_are_rejected(image: str, options: list[str]) -> None:
    assert run(["rootfs", image, *options]) == 2


def test_errors_name_an_invalid_output_path(
    image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run(["rootfs", image, str(tmp_path / "file" / "out")]) == 3
    assert capsys.readouterr().err == f"tarkit: {tmp_path / 'file'}: Not a directory\n"


@pytest.mark.parametrize("command", ["squashfs", "erofs"])
def test_errors_name_a_missing_program(
    command: str,
    image: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path: None)
    assert run([command, image, str(tmp_path / "out")]) == 6
    assert "is not installed" in capsys.readouterr().err
