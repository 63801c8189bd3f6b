"""Images from a daemon: selected by name or ID, verified and copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.errors import (
    AmbiguousImageError,
    DigestMismatchError,
    ImageNotFoundError,
    MalformedError,
    UnsupportedError,
    UsageError,
)
from tarkit.image.manifest import Manifest
from tarkit.image.platform import Platform
from tarkit.selection.inspect import inspect_image
from tarkit.transports.docker_daemon.reader import DockerDaemonReader
from tarkit.transports.location import open_source
from tarkit.verifying.runner import verify
from tests.builders import (
    Doc,
    copy,
    dump,
    image_of,
    listing,
    make_image,
    multi_platform,
    named,
    tar,
)
from tests.transports.docker_daemon.fake_daemon import FakeDaemon, Kept, answering

CONTAINERD_CONFIG = "sha256:0b058c3b0eae03410c9cb0b74b461790dfc2786d4e683e380f1f40903da9de4c"
CONTAINERD_MANIFEST = "sha256:a1fc91f36d101e2f62aa093ed91f236f26ba5e7d5bf677604bbb2c0e23276b95"


def config_of(location: str) -> str:
    with open_source(location) as image:
        return str(Manifest.parse(image.manifest()).config.digest)


def test_the_images_are_listed_by_all_their_names(daemon: FakeDaemon) -> None:
    daemon.add(make_image("b"), "b:1", "b:2")
    daemon.add(make_image("a"), "a:1")
    unnamed = daemon.add(make_image("c"))
    with DockerDaemonReader.open() as reader:
        assert [entry.names for entry in reader.images()] == [
            ("a:1",),
            ("b:1", "b:2"),
            (unnamed.id,),
        ]
    assert daemon.requests == ["GET /images/json"]


def test_an_untagged_image_is_listed_by_its_id(daemon: FakeDaemon) -> None:
    kept = daemon.add(make_image("a"), "<none>:<none>")
    with DockerDaemonReader.open() as reader:
        assert [entry.names for entry in reader.images()] == [(kept.id,)]


@pytest.mark.parametrize("name", ["app", "app:latest", "docker.io/library/app"])
def test_an_image_is_copied_by_its_name(daemon: FakeDaemon, tmp_path: Path, name: str) -> None:
    image = make_image("one", "two")
    daemon.add(image, "app:latest")
    daemon.add(make_image("other"), "other:latest")
    copy(f"docker-daemon:{name}", f"oci:{tmp_path / 'out'}:x")
    assert config_of(f"oci:{tmp_path / 'out'}:x") == image.digest
    assert daemon.requests == [
        "GET /images/docker.io/library/app:latest/json",
        "GET /images/docker.io/library/app:latest/get",
    ]


@pytest.mark.parametrize("prefix", ["sha256:", ""])
def test_an_image_is_copied_by_its_id(daemon: FakeDaemon, tmp_path: Path, prefix: str) -> None:
    image = make_image("one")
    daemon.add(image)
    identifier = prefix + image.digest.removeprefix("sha256:")
    copy(f"docker-daemon:{identifier}", f"oci:{tmp_path / 'out'}:x")
    assert config_of(f"oci:{tmp_path / 'out'}:x") == image.digest


@pytest.fixture
def containerd_image(daemon: FakeDaemon, corpus: Path) -> Kept:
    """An image in a containerd image store, where its ID is the manifest's digest."""
    archive = (corpus / "docker-29-ctrd-save.tar").read_bytes()
    daemon.images.append(Kept(CONTAINERD_MANIFEST, ("corpus/alpha:one",), archive))
    return daemon.images[0]


@pytest.mark.parametrize("name", ["corpus/alpha:one", CONTAINERD_MANIFEST])
def test_containerd_images_keep_their_manifest(containerd_image: Kept, name: str) -> None:
    with open_source(f"docker-daemon:{name}") as image:
        assert str(image.manifest().digest) == CONTAINERD_MANIFEST
    assert config_of(f"docker-daemon:{name}") == CONTAINERD_CONFIG


def test_an_image_is_found_by_a_digest_of_its_repository(
    daemon: FakeDaemon, containerd_image: Kept
) -> None:
    name = f"docker.io/corpus/alpha@{CONTAINERD_MANIFEST}"
    daemon.images = [Kept(CONTAINERD_MANIFEST, (name,), containerd_image.archive)]
    assert config_of(f"docker-daemon:corpus/alpha@{CONTAINERD_MANIFEST}") == CONTAINERD_CONFIG


def test_the_only_image_needs_no_name(daemon: FakeDaemon) -> None:
    image = make_image("one")
    daemon.add(image, "app:1")
    assert config_of("docker-daemon:") == image.digest


def test_a_name_is_required_unless_there_is_one_image(daemon: FakeDaemon) -> None:
    with (
        pytest.raises(ImageNotFoundError, match="contains no images"),
        open_source("docker-daemon:"),
    ):
        pass
    daemon.add(make_image("one"), "app:1")
    daemon.add(make_image("two"), "app:2")
    with pytest.raises(AmbiguousImageError, match="app:1, app:2"), open_source("docker-daemon:"):
        pass


def test_an_image_is_found_by_its_position(daemon: FakeDaemon) -> None:
    image = make_image("two")
    daemon.add(image, "app:2")
    daemon.add(make_image("one"), "app:1")
    with DockerDaemonReader.open() as reader:
        assert inspect_image(reader.source(index=1)).name == "app:2"
        with pytest.raises(ImageNotFoundError, match="no image @2: there are 2 images"):
            reader.source(index=2)
        with pytest.raises(ImageNotFoundError):
            reader.source(index=-1)


def test_a_missing_image_leaves_nothing(daemon: FakeDaemon, tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError, match=r"no image 'docker.io/library/app:latest'"):
        copy("docker-daemon:app", f"oci:{tmp_path / 'out'}:x")
    assert listing(tmp_path) == []


@pytest.mark.parametrize("name", ["App", "app:", "@0", "app@sha256:1"])
def test_an_invalid_name_is_not_requested(daemon: FakeDaemon, name: str) -> None:
    with pytest.raises(UsageError), open_source(f"docker-daemon:{name}"):
        pass
    assert daemon.requests == []


def test_a_different_image_is_an_error(daemon: FakeDaemon) -> None:
    wanted = make_image("wanted").digest
    daemon.add(make_image("another"), id=wanted)
    with pytest.raises(DigestMismatchError, match=wanted), open_source(f"docker-daemon:{wanted}"):
        pass


def test_a_different_name_is_an_error(daemon: FakeDaemon) -> None:
    image = make_image("one")
    other = daemon.add(image, "other:1")
    daemon.images = [Kept(other.id, ("app:1",), other.archive)]
    with pytest.raises(ImageNotFoundError, match="other:1"), open_source("docker-daemon:app:1"):
        pass


def test_metadata_is_read_without_keeping_layers(daemon: FakeDaemon) -> None:
    image = image_of([tar({"large": bytes(2 << 20)})])
    daemon.add(image, "app:1")
    with open_source("docker-daemon:app:1", metadata_only=True) as source:
        info = inspect_image(source)
        assert [str(layer.diff_id) for layer in info.layers] == image.diff_ids
        with pytest.raises(UnsupportedError), source.open_blob(info.layers[0].descriptor) as blob:
            blob.read(1)


def test_an_image_is_verified(daemon: FakeDaemon) -> None:
    kept = daemon.add(make_image("one"), "app:1")
    assert verify("docker-daemon:app:1").ok
    assert verify(f"docker-daemon:{kept.id}").ok
    changed = kept.archive.replace(b"oneone", b"onetwo")
    daemon.images = [Kept(kept.id, kept.tags, changed)]
    report = verify("docker-daemon:app:1")
    assert [finding.rule for finding in report.findings] == ["diff-id-mismatch"]


def test_verifying_a_missing_image_fails(daemon: FakeDaemon) -> None:
    with pytest.raises(ImageNotFoundError):
        verify("docker-daemon:app:1")


@pytest.mark.parametrize(
    "document", [{}, [1], [{"Id": 1}], [{"Id": "sha256:x"}], [{"Id": "", "RepoTags": "app"}]]
)
def test_a_malformed_list_is_an_error(daemon: FakeDaemon, document: object) -> None:
    daemon.act("/images/json", answering(200, dump(document)))
    with DockerDaemonReader.open() as reader, pytest.raises(MalformedError):
        reader.images()


@pytest.fixture
def platforms(daemon: FakeDaemon) -> tuple[Kept, Doc]:
    """An image of two platforms in a containerd image store, where its ID is the index's digest."""
    layout, index, _ = multi_platform("amd64", "arm64")
    full = "docker.io/library/app:1"
    files = layout.finish(named(index, "1", full))
    (first, _) = json.loads(files[f"blobs/sha256/{index['digest'][7:]}"])["manifests"]
    manifest = json.loads(files[f"blobs/sha256/{first['digest'][7:]}"])
    path = "blobs/sha256/{}"
    item = {
        "Config": path.format(manifest["config"]["digest"][7:]),
        "RepoTags": ["app:1"],
        "Layers": [path.format(layer["digest"][7:]) for layer in manifest["layers"]],
    }
    kept = Kept(index["digest"], ("app:1",), tar(files | {"manifest.json": dump([item])}))
    daemon.images.append(kept)
    return kept, index


@pytest.mark.parametrize("by_id", [False, True])
def test_every_platform_of_an_image_is_read(
    platforms: tuple[Kept, Doc], tmp_path: Path, by_id: bool
) -> None:
    kept, index = platforms
    location = f"docker-daemon:{kept.id if by_id else 'app:1'}"
    result = copy(location, f"oci:{tmp_path / 'all'}:x", all=True)
    assert str(result.descriptor.digest) == index["digest"]
    copy(location, f"oci:{tmp_path / 'one'}:x", platforms=(Platform("linux", "arm64"),))
    with open_source(f"oci:{tmp_path / 'one'}:x") as image:
        assert inspect_image(image).platform == Platform("linux", "arm64")
    assert verify(location).findings == ()


def test_an_error_offers_the_id_of_an_image_with_an_invalid_tag(daemon: FakeDaemon) -> None:
    odd = daemon.add(make_image("one"), "Odd:1")
    daemon.add(make_image("two"), "app:2")
    with pytest.raises(AmbiguousImageError) as caught, open_source("docker-daemon:"):
        pass
    assert caught.value.available == (odd.id, "app:2")
    for name in caught.value.available:
        assert config_of(f"docker-daemon:{name}")
