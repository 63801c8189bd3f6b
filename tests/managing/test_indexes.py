"""Test multi-platform images made of images from several places."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.errors import (
    ImageNotFoundError,
    NotFoundError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from tarkit.image.media_types import OCI_INDEX
from tarkit.managing.indexes import add_to_index, create_index, remove_from_index
from tarkit.transports.location import open_reader, open_source
from tarkit.verifying.runner import verify
from tests.builders import (
    Doc,
    Layout,
    blob,
    check_layout,
    docker_archive,
    layout_of,
    load,
    make_image,
    multi_platform,
    named,
    names_in,
    on,
    read_files,
    tar,
    untar,
    write_files,
)
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import FakeRegistry

AMD = make_image("base", "amd")
ARM = make_image("base", "arm", architecture="arm64", variant="v8")
NEW_ARM = make_image("base", "new arm", architecture="arm64", variant="v8")


def index_at(location: str) -> Doc:
    with open_source(location) as source:
        document: Doc = json.loads(source.manifest().data)
        return document


def platforms_at(location: str) -> list[str]:
    return [
        "/".join(filter(None, map(entry["platform"].get, ("os", "architecture", "variant"))))
        for entry in index_at(location)["manifests"]
    ]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker archive, a layout and an OCI archive with one image each; the current directory."""
    monkeypatch.chdir(tmp_path)
    docker_archive(tmp_path / "amd.tar", (AMD, ["amd:1"]))
    write_files(tmp_path / "arm", layout_of(ARM, "arm"))
    (tmp_path / "new.tar").write_bytes(tar(layout_of(NEW_ARM, "arm")))
    return tmp_path


def test_images_of_any_transport_are_joined(places: Path) -> None:
    result = create_index("oci:out:app", "docker-archive:amd.tar", "oci:arm:arm")
    assert platforms_at("oci:out:app") == ["linux/amd64", "linux/arm64/v8"]
    files = read_files(places / "out")
    entry = check_layout(files)["manifests"][0]
    assert (entry["digest"], entry["mediaType"]) == (str(result.descriptor.digest), OCI_INDEX)
    assert (result.copied, result.recompressed) == (4, 2)  # the layers of the docker archive
    assert not verify("oci:out").findings
    configs = [
        load(files, load(files, child)["config"]) for child in load(files, entry)["manifests"]
    ]
    assert [config["architecture"] for config in configs] == ["amd64", "arm64"]


def test_manifests_in_the_right_format_keep_their_bytes(places: Path) -> None:
    create_index("oci:out:app", "oci:arm:arm")
    child = index_at("oci:out:app")["manifests"][0]
    assert blob(read_files(places / "out"), child) == blob(read_files(places / "arm"), child)


def test_the_order_of_sources_decides_and_the_result_is_reproducible(places: Path) -> None:
    sources = ("oci:arm:arm", "docker-archive:amd.tar")
    first = create_index("oci:one:x", *sources)
    assert create_index("oci-archive:two.tar:x", *sources).descriptor == first.descriptor
    assert platforms_at("oci:one:x") == ["linux/arm64/v8", "linux/amd64"]


def test_an_added_image_replaces_that_of_its_platform(places: Path) -> None:
    create_index("oci:out:app", "docker-archive:amd.tar", "oci:arm:arm")
    before = index_at("oci:out:app")["manifests"]
    result = add_to_index("oci:out:app", "oci-archive:new.tar")
    after = index_at("oci:out:app")["manifests"]
    assert after[0] == before[0]
    assert after[1]["digest"] != before[1]["digest"]
    assert len(after) == 2
    assert result.bytes_written < 5000
    assert names_in(check_layout(read_files(places / "out"))) == ["app"]


def test_a_single_image_becomes_an_index(places: Path) -> None:
    add_to_index("oci:arm:arm", "docker-archive:amd.tar")
    assert platforms_at("oci:arm:arm") == ["linux/arm64/v8", "linux/amd64"]


def test_an_index_contributes_all_of_its_images_once(places: Path) -> None:
    layout, index, _ = multi_platform("s390x", "amd64")
    write_files(places / "many", layout.finish(named(index, "x")))
    create_index("oci:out:app", "oci:many:x", "oci:arm:arm")
    assert platforms_at("oci:out:app") == ["linux/s390x", "linux/amd64", "linux/arm64/v8"]
    add_to_index("oci:out:app", "oci:many:x")
    assert sorted(platforms_at("oci:out:app")) == ["linux/amd64", "linux/arm64/v8", "linux/s390x"]


def test_attestations_go_with_their_image(places: Path) -> None:
    layout = Layout()
    amd, arm = on(layout.image(AMD), "linux/amd64"), on(layout.image(ARM), "linux/arm64/v8")
    notes = [
        on(layout.image(make_image(name)), "unknown/unknown")
        | {
            "annotations": {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": of["digest"],
            }
        }
        for name, of in (("a", amd), ("b", arm))
    ]
    index = layout.index(amd, arm, *notes, annotations={"kept": "yes"})
    write_files(places / "in", layout.finish(named(index, "x")))
    remove_from_index("oci:in:x", "linux/arm64/v8")
    after = index_at("oci:in:x")
    assert after["manifests"] == [amd, notes[0]]
    assert after["annotations"] == {"kept": "yes"}


def test_images_are_removed_by_platform_or_digest(places: Path) -> None:
    create_index("oci:out:app", "docker-archive:amd.tar", "oci:arm:arm")
    amd, arm = index_at("oci:out:app")["manifests"]
    remove_from_index("oci:out:app", amd["digest"])
    assert index_at("oci:out:app")["manifests"] == [arm]
    with pytest.raises(ImageNotFoundError, match="available: linux/arm64/v8"):
        remove_from_index("oci:out:app", "linux/amd64")
    with pytest.raises(RefusedError, match="would be empty"):
        remove_from_index("oci:out:app", "linux/arm64/v8")


def test_an_archive_keeps_its_other_images(places: Path) -> None:
    create_index("oci-archive:new.tar:app", "docker-archive:amd.tar", "oci:arm:arm")
    add_to_index("oci-archive:new.tar:app", "oci-archive:new.tar:arm")
    assert sorted(filter(None, names_in(check_layout(untar(places / "new.tar"))))) == ["app", "arm"]
    assert not verify("oci-archive:new.tar").findings


def test_a_registry_receives_only_missing_blobs(places: Path, registry: FakeRegistry) -> None:
    layout = Layout()
    add_layout(registry, "team/arm", "1", layout.files, layout.image(ARM))
    repository = f"docker://{registry.address}/team"
    create_index(f"{repository}/app:1", f"{repository}/arm:1", "docker-archive:amd.tar")
    assert platforms_at(f"{repository}/app:1") == ["linux/arm64/v8", "linux/amd64"]
    mounted = [seen for seen in registry.requests("POST") if "mount=" in seen.path]
    assert {seen.path.partition("from=")[2] for seen in mounted} >= {"team%2Farm"}
    uploads = len(registry.requests("PUT", "/blobs/"))
    add_to_index(f"{repository}/app:1", "oci-archive:new.tar")
    assert len(registry.requests("PUT", "/blobs/")) - uploads == 2  # its config and own layer
    remove_from_index(f"{repository}/app:1", "linux/amd64")
    assert platforms_at(f"{repository}/app:1") == ["linux/arm64/v8"]
    assert not verify(f"{repository}/app:1").findings


@pytest.mark.parametrize(
    ("destination", "sources", "error"),
    [
        ("oci:out:app", (), UsageError),
        ("oci:out:app", ("oci:arm:arm", "oci-archive:new.tar"), UsageError),
        ("oci:out:app", ("oci:none",), NotFoundError),
        ("docker-archive:out.tar:app", ("oci:arm:arm",), UnsupportedError),
        ("dir:out", ("oci:arm:arm",), UnsupportedError),
    ],
)
def test_refusals_leave_nothing(
    places: Path, destination: str, sources: tuple[str, ...], error: type[Exception]
) -> None:
    before = read_files(places)
    with pytest.raises(error):
        create_index(destination, *sources)
    assert read_files(places) == before


def test_an_image_without_a_name_must_be_named_first(places: Path) -> None:
    write_files(places / "unnamed", layout_of(AMD, None))
    with pytest.raises(RefusedError, match="tarkit tag"):
        add_to_index("oci:unnamed", "oci:arm:arm")
    with open_reader("oci:unnamed") as reader:
        assert len(reader.images()) == 1
