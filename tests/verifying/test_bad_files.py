"""Test that a bad file in a layout or directory is named itself, whoever refers to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.hostile.image import CONFIG_PATH, LAYER_PATH, MANIFEST_PATH, Patch, layout
from tarkit.cli.app import run
from tarkit.copying.engine import copy_image
from tarkit.errors import TarkitError
from tarkit.findings import Rule
from tarkit.transports.location import open_source, open_writer
from tarkit.verifying.runner import verify
from tests.hostile.running import run_here

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs links and FIFOs")

Spoil = Callable[[Path], object]


def as_link_out(path: Path) -> None:
    outside = path.parents[3] / "outside"
    outside.write_bytes(b"x")
    path.symlink_to(outside)


def as_longer_loop(path: Path) -> None:
    other = path.with_name("other")
    other.symlink_to(path.name)
    path.symlink_to(other.name)


KINDS: dict[str, tuple[Spoil, Rule]] = {
    "directory": (Path.mkdir, Rule.UNREADABLE),
    "FIFO": (os.mkfifo, Rule.UNREADABLE),
    "link out": (as_link_out, Rule.UNSAFE_PATH),
    "link to itself": (lambda path: path.symlink_to(path.name), Rule.UNSAFE_PATH),
    "loop of two": (as_longer_loop, Rule.UNSAFE_PATH),
}


def spoiled(directory: Path, name: str, spoil: Spoil) -> Path:
    path = layout()(directory)
    (path / name).unlink()
    spoil(path / name)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [MANIFEST_PATH, CONFIG_PATH, LAYER_PATH])
def test_a_bad_blob_of_a_layout(tmp_path: Path, name: str, kind: str) -> None:
    spoil, rule = KINDS[kind]
    path = spoiled(tmp_path / "a", name, spoil)
    report = verify(f"oci:{path}")
    errors = [(f.rule, f.where) for f in report.findings if f.severity.value == "error"]
    assert errors == [(rule.id, name)]
    with pytest.raises(TarkitError, match=name.rpartition("/")[2]), open_source(f"oci:{path}") as s:
        copy_to_directory(s, tmp_path / "copy")


def copy_to_directory(source: object, path: Path) -> None:
    with open_writer(f"dir:{path}") as writer:
        copy_image(source, writer.destination())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "loop of two"])
@pytest.mark.parametrize("name", [CONFIG_PATH, LAYER_PATH])
def test_a_bad_blob_of_a_directory(tmp_path: Path, name: str, kind: str) -> None:
    spoil, rule = KINDS[kind]
    path = tmp_path / "a" / "b" / "dir"
    path.parent.mkdir(parents=True)
    with open_source(f"oci:{layout()(tmp_path)}") as source:
        copy_to_directory(source, path)
    blob = name.rpartition("/")[2]
    (path / blob).unlink()
    spoil(path / blob)
    found = [(f.rule, f.where) for f in verify(f"dir:{path}").findings]
    assert found == [(rule.id, blob)]
    with pytest.raises(TarkitError, match=blob), open_source(f"dir:{path}") as source:
        copy_to_directory(source, tmp_path / "copy")


@pytest.mark.parametrize("kind", ["directory", "FIFO"])
def test_the_kind_of_file_is_named(tmp_path: Path, kind: str) -> None:
    path = spoiled(tmp_path / "a", LAYER_PATH, KINDS[kind][0])
    assert verify(f"oci:{path}").findings[0].message == f"is a {kind}, not a regular file"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([None], "manifests[0]: expected a JSON object, got null"),
        ([{}], "manifests[0]: malformed digest ''"),
        ([{"mediaType": 5}], "manifests[0]: 'mediaType' is a number, not a string"),
        (7, "'manifests' is a number, not a list"),
    ],
)
def test_errors_in_the_index_name_the_file_and_the_entry(
    tmp_path: Path, entries: object, message: str
) -> None:
    path = layout({("manifests",): entries})(tmp_path)
    for command in ("list", "inspect"):
        result = run_here(command, f"oci:{path}")
        assert (result.code, result.err) == (4, f"tarkit: {path}/index.json: {message}\n")


def test_null_instead_of_a_list_is_a_warning_as_umoci_writes_it(tmp_path: Path) -> None:
    path = layout({("manifests",): None})(tmp_path)
    report = verify(f"oci:{path}")
    message = "lists no image: 'manifests' is null instead of a list"
    assert (report.findings[0].rule, report.findings[0].message) == ("no-images", message)
    assert report.ok


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("broken", [False, True], ids=["otherwise good", "otherwise bad"])
def test_a_failing_disk_is_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, broken: bool
) -> None:
    size: Patch = {("config", "size"): 7} if broken else {}
    path = layout(manifest=size)(tmp_path)
    real = os.open

    def fail(name: object, *arguments: int, **options: int) -> int:
        if str(name).endswith(LAYER_PATH):
            raise OSError(code, os.strerror(code))
        return real(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", fail)
    result = run_here("verify", f"oci:{path}")
    assert result.code == (4 if broken else 1)
    assert f"error  io-error       {LAYER_PATH}: {os.strerror(code)}".split() in [
        line.split() for line in result.out.splitlines()
    ]


def test_a_read_that_fails_midway_is_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = layout()(tmp_path)
    monkeypatch.setattr("tarkit.verifying.layers._Hashed.read", _fail)
    assert run(["verify", f"oci:{path}"]) == 1
    assert "Input/output error" in capfd.readouterr().out


def _fail(stream: object, size: int = -1) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))
