"""open_image: one object for an image's documents, files, copies and verification."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tarkit
from tarkit import ImagePath, Location, Transport, open_image
from tarkit.errors import (
    AmbiguousImageError,
    ImageNotFoundError,
    NotAnImageError,
    PathNotFoundError,
    UsageError,
)
from tests.builders import docker_archive, image_of, layout_of, make_image, write_files
from tests.rootfs.layers import file, pack


def test_a_path_is_accepted_like_text(fixtures: Path, tmp_path: Path) -> None:
    path = fixtures / "hello.tar"
    with open_image(path) as first, open_image(str(path)) as second:
        assert first.digest == second.digest
    assert tarkit.verify(path).ok
    assert tarkit.check_build(path, tmp_path / "image.ext4").free_space > 0
    with tarkit.open_reader(path) as reader:
        assert len(reader.images()) == 1
    with tarkit.open_source(path) as source:
        assert source.names == ("hello:latest",)
    with pytest.raises(UsageError, match="no transport"):
        tarkit.open_writer(tmp_path / "new")


def test_a_path_never_names_a_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Location.parse(Path("oci:layout:app")) == Location(Transport.ANY, "oci:layout:app")
    with pytest.raises(PathNotFoundError):
        open_image(Path("oci:layout:app"))


def test_the_documents_of_an_image(fixtures: Path) -> None:
    with open_image(fixtures / "hello.tar") as image:
        assert image.names == ("hello:latest",)
        assert image.config.labels == {"org.example.greeting": "hello"}
        assert [layer.diff_id for layer in image.layers] == list(image.config.diff_ids)
        assert [layer.descriptor for layer in image.layers] == list(image.manifest.layers)
        assert image.digest == image.raw_manifest.digest
        assert image.verify().ok


def test_an_index_is_opened_for_a_platform(corpus: Path, tmp_path: Path) -> None:
    location = f"oci:{corpus / 'crane-oci-multiarch'}"
    with open_image(location, platform="linux/arm64") as image:
        assert str(image.config.platform) == "linux/arm64"
        image.copy_to(f"oci:{tmp_path / 'one'}:arm")
        image.copy_to(f"oci:{tmp_path / 'all'}:every", tarkit.CopyOptions(all=True))
        digest = image.digest
    with open_image(f"oci:{tmp_path / 'one'}:arm", platform="linux/arm64") as copy:
        assert copy.digest == digest
    with tarkit.open_source(f"oci:{tmp_path / 'all'}:every") as source:
        assert source.manifest().is_index
    with pytest.raises(ImageNotFoundError):
        open_image(location, platform="linux/s390x")


def test_a_copy_keeps_its_names_and_the_other_images(fixtures: Path, tmp_path: Path) -> None:
    target = f"docker-archive:{tmp_path / 'all.tar'}"
    with open_image(fixtures / "hello.tar") as image:
        image.copy_to(target)
        image.copy_to(f"{target}:example.org/second:1", names=["example.org/third:1"])
    with tarkit.open_reader(target) as reader:
        names = [name for entry in reader.images() for name in entry.names]
    assert sorted(names) == [
        "docker.io/library/hello:latest",
        "example.org/second:1",
        "example.org/third:1",
    ]


def test_files_are_merged_once_and_closed_with_the_image(fixtures: Path) -> None:
    with open_image(fixtures / "hello.tar") as image:
        assert image.files is image.files
        assert [entry.path for entry in image.files.glob("/etc/*")] == ["/etc/motd"]
        assert image.files / "etc" / "motd" == ImagePath(image.files, "/etc/motd")


def test_the_reader_is_closed_if_the_image_cannot_be_opened(tmp_path: Path) -> None:
    images = [(make_image(name), [f"example.org/{name}:1"]) for name in ("a", "b")]
    archive = docker_archive(tmp_path / "two.tar", *images)
    with pytest.raises(AmbiguousImageError):
        open_image(archive)  # an archive left open would be a ResourceWarning, an error in tests


def test_an_artifact_has_a_manifest_but_no_config(tmp_path: Path) -> None:
    files = layout_of(image_of([pack([file("a")])]), layer_type="text/plain")
    write_files(tmp_path, files)
    with open_image(tmp_path) as image:
        assert json.loads(image.raw_manifest.data)["layers"][0]["mediaType"] == "text/plain"
        with pytest.raises((NotAnImageError, tarkit.UnsupportedError)):
            _ = image.config
