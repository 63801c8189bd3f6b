"""Detecting the format of a plain path."""

from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest

from tarkit.errors import NotAnImageError, PathNotFoundError, TruncatedError, VerificationError
from tarkit.transports.directory.reader import DirectoryReader
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.location import Location, open_reader
from tarkit.transports.oci_archive.reader import OCIArchiveReader
from tarkit.transports.oci_layout.reader import OCILayoutReader
from tests.builders import classic_files, copy, layout_of, make_image, tar, write_files

IMAGE = make_image("one")
DOCKER = tar(classic_files((IMAGE, ["one:1"])))
OCI = tar(layout_of(IMAGE))


def kind_of(path: Path | str) -> type:
    with open_reader(Location.parse(str(path))) as reader:
        return type(reader)


def test_directories(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", layout_of(IMAGE))
    copy(f"oci:{tmp_path / 'layout'}", f"dir:{tmp_path / 'dir'}")
    assert kind_of(tmp_path / "layout") is OCILayoutReader
    assert kind_of(tmp_path / "dir") is DirectoryReader
    with pytest.raises(NotAnImageError, match="is a directory, but not an OCI layout"):
        kind_of(tmp_path)


@pytest.mark.parametrize("data", [DOCKER, gzip.compress(DOCKER)], ids=["plain", "gzip"])
def test_docker_archives(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.anything").write_bytes(data)
    assert kind_of(tmp_path / "x.anything") is DockerArchiveReader


@pytest.mark.parametrize("data", [OCI, gzip.compress(OCI)], ids=["plain", "gzip"])
def test_oci_archives(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert kind_of(tmp_path / "x") is OCIArchiveReader


def test_an_archive_that_is_both_is_a_docker_archive(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", layout_of(IMAGE))
    copy(f"oci:{tmp_path / 'layout'}", f"docker-archive:{tmp_path / 'x.tar'}:one:1")
    assert kind_of(tmp_path / "x.tar") is DockerArchiveReader


@pytest.mark.parametrize(("data", "kind"), [(DOCKER, DockerArchiveReader), (OCI, OCIArchiveReader)])
def test_standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes, kind: type) -> None:
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": io.BytesIO(data)}))
    assert kind_of("-") is kind


def test_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError, match="no such file or directory"):
        kind_of(tmp_path / "gone")


def test_a_tar_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(tar({"file": b"data"}))
    with pytest.raises(NotAnImageError, match="is a tar archive, but neither"):
        kind_of(tmp_path / "x.tar")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"")
    with pytest.raises(NotAnImageError, match="is empty"):
        kind_of(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"x" * 600, "PDF document"),
        (bytes(0x8001) + b"CD001\x01" + bytes(4000), "ISO 9660"),
        (b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(600), "Zip archive"),
        (b"\x7fELF\x02\x01\x01" + bytes(600), "ELF"),
        (gzip.compress(b"just some text\n" * 100), "gzip compressed data"),
        (b"just some text\n" * 100, "ASCII text"),
    ],
)
def test_other_files_are_reported_with_their_type(tmp_path: Path, data: bytes, words: str) -> None:
    pytest.importorskip("pylibmagic")
    (tmp_path / "app.x").write_bytes(data)
    with pytest.raises(NotAnImageError, match=rf"app\.x: is .*{words}.*, not an image archive"):
        kind_of(tmp_path / "app.x")


def test_without_libmagic_the_error_is_the_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "magic", None)
    (tmp_path / "x").write_bytes(b"just some text\n" * 100)
    with pytest.raises(VerificationError):
        kind_of(tmp_path / "x")


def test_a_truncated_archive_is_reported_as_an_archive(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(DOCKER[:700])
    with pytest.raises(TruncatedError):
        kind_of(tmp_path / "x.tar")
