"""Images written to a daemon: loaded completely, under their names, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.copying.engine import copy_image
from tarkit.errors import DigestMismatchError, TransportError, UsageError
from tarkit.image.document import JSON
from tarkit.syncing.images import copy_images
from tarkit.syncing.options import SyncOptions
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_daemon.writer import DockerDaemonWriter
from tarkit.transports.location import Location, open_source, open_writer
from tests.builders import (
    Image,
    copy,
    docker_archive,
    layout_of,
    listing,
    make_image,
    untar,
    write_files,
)
from tests.transports.docker_daemon.fake_daemon import FakeDaemon, after_upload, answering, failing


def loaded(daemon: FakeDaemon, tmp_path: Path) -> dict[str, bytes]:
    """Return the files of the only archive that the daemon received."""
    (archive,) = daemon.loads
    path = tmp_path / "loaded.tar"
    path.write_bytes(archive)
    return untar(path)


def items(files: dict[str, bytes]) -> list[JSON]:
    document: list[JSON] = json.loads(files["manifest.json"])
    return document


@pytest.fixture
def image() -> Image:
    return make_image("one", "two")


@pytest.fixture
def layout(tmp_path: Path, image: Image) -> str:
    write_files(tmp_path / "layout", layout_of(image))
    return f"oci:{tmp_path / 'layout'}:app"


def test_an_image_is_loaded_under_its_full_name(
    daemon: FakeDaemon, tmp_path: Path, layout: str, image: Image
) -> None:
    copy(layout, "docker-daemon:app")
    files = loaded(daemon, tmp_path)
    (item,) = items(files)
    assert item["RepoTags"] == ["docker.io/library/app:latest"]
    assert files[item["Config"]] == image.config
    assert "oci-layout" in files
    assert daemon.requests == ["GET /_ping", "POST /images/load?quiet=1"]


def test_an_image_is_loaded_under_several_names(
    daemon: FakeDaemon, tmp_path: Path, layout: str
) -> None:
    copy(layout, "docker-daemon:", "app:1", "example.org/app:2")
    (item,) = items(loaded(daemon, tmp_path))
    assert item["RepoTags"] == ["docker.io/library/app:1", "example.org/app:2"]


def test_several_images_are_loaded_at_once(daemon: FakeDaemon, tmp_path: Path) -> None:
    archive = docker_archive(
        tmp_path / "two.tar", (make_image("one"), ["app:1"]), (make_image("two"), ["app:2"])
    )
    with DockerDaemonWriter.open() as writer:
        for name in ("app:1", "app:2"):
            with open_source(f"docker-archive:{archive}:{name}") as image:
                copy_image(image, writer.destination(name))
        assert daemon.loads == []
    tags = [item["RepoTags"] for item in items(loaded(daemon, tmp_path))]
    assert tags == [["docker.io/library/app:1"], ["docker.io/library/app:2"]]


def test_all_images_of_an_archive_are_loaded_at_once(daemon: FakeDaemon, tmp_path: Path) -> None:
    images = (make_image("one"), ["app:1"]), (make_image("two"), ["app:2"])
    archive = docker_archive(tmp_path / "two.tar", *images)
    options = SyncOptions(all_images=True)
    copy_images([f"docker-archive:{archive}"], "docker-daemon:", options)
    tags = [item["RepoTags"] for item in items(loaded(daemon, tmp_path))]
    assert tags == [["docker.io/library/app:1"], ["docker.io/library/app:2"]]


def test_a_classic_archive_is_loaded_on_request(
    daemon: FakeDaemon, tmp_path: Path, layout: str
) -> None:
    copy(layout, "docker-daemon:app", format=DockerFormat.CLASSIC)
    assert "oci-layout" not in loaded(daemon, tmp_path)


@pytest.mark.parametrize("name", [f"sha256:{'0' * 64}", "0" * 64, f"app@sha256:{'0' * 64}", "App"])
def test_an_id_is_no_destination(daemon: FakeDaemon, layout: str, name: str) -> None:
    with pytest.raises(UsageError):
        copy(layout, f"docker-daemon:{name}")
    assert daemon.loads == []


def test_nothing_is_loaded_if_the_copy_fails(
    daemon: FakeDaemon, tmp_path: Path, image: Image
) -> None:
    files = layout_of(image)
    largest = max(files, key=lambda name: len(files[name]) if name.startswith("blobs") else 0)
    files[largest] = bytes(len(files[largest]))
    write_files(tmp_path / "layout", files)
    with pytest.raises(DigestMismatchError):
        copy(f"oci:{tmp_path / 'layout'}:app", "docker-daemon:app")
    assert daemon.loads == []


def test_nothing_is_loaded_without_a_commit(daemon: FakeDaemon) -> None:
    with open_writer(Location.parse("docker-daemon:app")):
        pass
    assert daemon.requests == ["GET /_ping"]


def test_no_file_is_left_behind(
    daemon: FakeDaemon, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    copy(layout, "docker-daemon:app")
    daemon.act("/load?quiet=1", answering(500, b""))
    with pytest.raises(TransportError):
        copy(layout, "docker-daemon:app")
    assert listing(tmp_path / "temporary") == []


def test_a_failure_reported_with_status_200_is_an_error(daemon: FakeDaemon, layout: str) -> None:
    answer = b'{"stream":"Loading layer"}\r\n\r\n' + failing("no space left\non device")
    daemon.act("/load?quiet=1", after_upload(answering(200, answer)))
    with pytest.raises(
        TransportError, match=r"failed to load the archive: no space left on device$"
    ):
        copy(layout, "docker-daemon:app")
