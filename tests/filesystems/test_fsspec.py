"""The fsspec filesystem: what fsspec's own methods return for an image."""

from __future__ import annotations

import io
import os
import pickle
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tarkit.errors import ImageNotFoundError, UsageError
from tests.builders import docker_archive, image_of
from tests.rootfs.layers import TIME, char, directory, file, hard, link, pack

fsspec = pytest.importorskip("fsspec")

from tarkit.filesystems.fsspec import TarkitFileSystem  # noqa: E402  after the check above

ROOT = Path(__file__).parent.parent.parent
ITEMS = [
    directory("data"),
    file("data/a.csv", "x,y\n1,2\n", 0o640, uid=7, gid=8),
    file("data/deep/b.csv", bytes(100_000)),
    hard("data/same.csv", "data/a.csv"),
    link("short", "data"),
    link("gone", "nothing"),
    link("loop", "loop"),
    link("data/up", ".."),
    char("null", 1, 3),
]


@pytest.fixture(autouse=True)
def registered() -> None:
    """Register the protocol, as the entry point of an installed tarkit does."""
    fsspec.register_implementation("tarkit", TarkitFileSystem, clobber=True)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return docker_archive(tmp_path / "app.tar", (image_of([pack(ITEMS)]), ["app"]))


@pytest.fixture
def files(archive: Path) -> Any:
    return fsspec.filesystem("tarkit", location=str(archive))


def test_the_entry_point_names_the_class() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["fsspec.specs"]["tarkit"].partition(":")
    assert (module, name) == (TarkitFileSystem.__module__, TarkitFileSystem.__name__)


def test_directories_are_listed(files: Any) -> None:
    assert files.ls("", detail=False) == ["data", "gone", "loop", "null", "short"]
    assert files.ls("tarkit://data", detail=False) == [
        "data/a.csv",
        "data/deep",
        "data/same.csv",
        "data/up",
    ]
    assert files.ls("/short", detail=False) == [
        "short/a.csv",
        "short/deep",
        "short/same.csv",
        "short/up",
    ]
    assert [entry["name"] for entry in files.ls("data/a.csv")] == ["data/a.csv"]
    assert files.find("data") == [
        "data/a.csv",
        "data/deep/b.csv",
        "data/same.csv",
        "data/up",
    ]
    assert files.glob("**/*.csv") == ["data/a.csv", "data/deep/b.csv", "data/same.csv"]
    assert [path for path, _, _ in files.walk("data")] == ["data", "data/deep"]


def test_entries_have_all_metadata(files: Any) -> None:
    assert files.info("data/a.csv") == {
        "name": "data/a.csv", "size": 8, "type": "file", "mode": 0o640, "uid": 7, "gid": 8,
        "mtime": TIME, "nlink": 2, "islink": False,
    }  # fmt: skip
    assert files.modified("data/a.csv") == datetime.fromtimestamp(TIME, UTC)
    short = files.info("short")
    assert (short["type"], short["islink"], short["destination"]) == ("directory", True, "data")
    assert files.info("gone")["type"] == "link"
    assert files.info("null")["type"] == "other"
    assert files.isdir("short")
    assert files.isfile("data/a.csv")
    assert not files.exists("nothing")
    assert files.info("loop")["type"] == "link"
    assert files.du("data/deep") == 100_000


def test_files_are_read_in_part_and_as_text(files: Any) -> None:
    with files.open("data/a.csv", "r") as text:
        assert list(text) == ["x,y\n", "1,2\n"]
    with files.open("data/a.csv") as stream:
        stream.seek(-4, io.SEEK_END)
        assert stream.read() == b"1,2\n"
    assert files.cat_file("data/a.csv", start=2, end=3) == b"y"
    assert files.cat(["data/a.csv", "data/same.csv"]) == dict.fromkeys(
        ["data/a.csv", "data/same.csv"], b"x,y\n1,2\n"
    )


def test_a_url_names_image_and_file(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fsspec.open("tarkit://data/a.csv", location=archive) as stream:
        assert stream.read() == b"x,y\n1,2\n"
    monkeypatch.chdir(archive.parent)
    with fsspec.open("tarkit://data/a.csv::app.tar", "rt") as stream:
        assert stream.read() == "x,y\n1,2\n"
    with pytest.raises(UsageError, match="'memory'"):
        fsspec.open("tarkit://data/a.csv::memory://app.tar")
    with pytest.raises(UsageError, match="no image"):
        fsspec.filesystem("tarkit")


def test_an_instance_can_be_pickled(files: Any) -> None:
    assert files.exists("data")
    TarkitFileSystem.clear_instance_cache()
    copy = pickle.loads(pickle.dumps(files))
    assert copy is not files
    assert copy.cat_file("data/a.csv") == b"x,y\n1,2\n"


def test_errors_are_those_of_the_operating_system(files: Any) -> None:
    for call in (files.info, files.ls, files.open, files.cat_file):
        with pytest.raises(FileNotFoundError):
            call("nothing")
    with pytest.raises(OSError, match="not a file"):
        files.open("data")
    with pytest.raises(OSError, match=os.strerror(30)):
        files.open("data/a.csv", "wb")


def test_the_platform_is_chosen(corpus: Path) -> None:
    location = f"oci:{corpus / 'crane-oci-multiarch'}"
    assert fsspec.filesystem("tarkit", location=location, platform="linux/arm64").ls("")
    with pytest.raises(ImageNotFoundError):
        fsspec.filesystem("tarkit", location=location, platform="linux/s390x").ls("")
