"""Test that tagging changes names only, in every kind of container."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tarkit.errors import (
    ImageNotFoundError,
    NoSpaceError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from tarkit.managing.tags import tag_image
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_daemon.reader import DockerDaemonReader
from tarkit.transports.location import open_reader, open_source
from tests.builders import (
    Layout,
    check_layout,
    copy,
    docker_archive,
    layout_of,
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
from tests.transports.docker_daemon.fake_daemon import fake_daemon
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import FakeRegistry

ONE, TWO = make_image("base", "one"), make_image("base", "two")


def names_at(location: str) -> list[tuple[str, ...]]:
    with open_reader(location) as reader:
        return [image.names for image in reader.images()]


def digest_at(location: str) -> str:
    with open_source(location) as source:
        return str(source.manifest().digest)


def test_a_layout_gains_an_entry_and_keeps_every_blob(tmp_path: Path) -> None:
    before = layout_of(ONE, "app")
    where = f"oci:{write_files(tmp_path / 'in', before)}"
    digest = tag_image(f"{where}:app", "app:2", "v3", "v3")
    after = read_files(tmp_path / "in")
    assert names_in(check_layout(after)) == ["app", "app:2", "v3"]
    assert {n: d for n, d in after.items() if n != "index.json"} == {
        n: d for n, d in before.items() if n != "index.json"
    }
    assert digest_at(f"{where}:v3") == str(digest)


def test_a_name_moves_in_a_layout(tmp_path: Path) -> None:
    layout = Layout()
    one, two = layout.image(ONE), layout.image(TWO)
    files = layout.finish(named(one, "one"), named(two, "two"))
    where = f"oci:{write_files(tmp_path / 'in', files)}"
    tag_image(f"{where}:one", "two")
    index = check_layout(read_files(tmp_path / "in"))
    assert [(e["annotations"], e["digest"]) for e in index["manifests"]] == [
        (named(one, "one")["annotations"], one["digest"]),
        (named(one, "two")["annotations"], one["digest"]),
    ]


def test_an_unnamed_image_is_named(tmp_path: Path) -> None:
    where = f"oci:{write_files(tmp_path / 'in', layout_of(ONE, None))}"
    tag_image(where, "app")
    assert names_at(where) == [("app",)]


def test_a_flat_index_becomes_an_image_of_the_layout(tmp_path: Path) -> None:
    layout = Layout()
    children = [
        on(layout.image(make_image(arch, architecture=arch)), f"linux/{arch}")
        for arch in ("amd64", "arm64")
    ]
    where = f"oci:{write_files(tmp_path / 'in', layout.finish(*children))}"
    digest = digest_at(where)
    tag_image(where, "app")
    check_layout(read_files(tmp_path / "in"))
    assert names_at(where) == [("app",)]
    assert digest_at(f"{where}:app") == digest


def test_unknown_fields_of_the_index_survive(tmp_path: Path) -> None:
    files = layout_of(ONE, "app")
    document = json.loads(files["index.json"])
    document["vendor.example"] = {"kept": True}
    document["manifests"][0]["vendor"] = 7
    document["manifests"].append({"mediaType": "x", "digest": "blake3:00", "size": 1})
    files["index.json"] = json.dumps(document).encode()
    write_files(tmp_path / "in", files)
    tag_image(f"oci:{tmp_path / 'in'}:app", "other")
    after = json.loads((tmp_path / "in" / "index.json").read_bytes())
    assert after["vendor.example"] == {"kept": True}
    assert document["manifests"][0] in after["manifests"]
    assert document["manifests"][1] in after["manifests"]


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive"])
def test_a_plain_path_will_do(tmp_path: Path, transport: str) -> None:
    write_files(tmp_path / "in", layout_of(ONE, "app:1"))
    copy(f"oci:{tmp_path / 'in'}", f"{transport}:{tmp_path / 'out'}:app:1")
    tag_image(str(tmp_path / "out"), "app:2")
    flat = [name for names in names_at(str(tmp_path / "out")) for name in names]
    assert len(flat) == 2
    assert flat[1].endswith("app:2")


def test_an_oci_archive_keeps_every_blob(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    path = tmp_path / "in.tar"
    path.write_bytes(tar(before := layout.finish(named(index, "app"))))
    tag_image(f"oci-archive:{path}:app", "new")
    after = untar(path)
    assert names_in(check_layout(after)) == ["app", "new"]
    assert after.keys() == before.keys()
    assert digest_at(f"oci-archive:{path}:new") == index["digest"]


@pytest.mark.parametrize("format", DockerFormat)
def test_a_docker_archive_keeps_an_image_that_loses_its_last_name(
    tmp_path: Path, format: DockerFormat
) -> None:
    save = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1"]))
    path = tmp_path / "out.tar"
    with open_reader(f"docker-archive:{save}") as reader:
        from tarkit.copying.engine import copy_image
        from tarkit.transports.location import open_writer

        with open_writer(f"docker-archive:{path}", docker_format=format) as writer:
            for name in ("one:1", "two:1"):
                copy_image(reader.source(name), writer.destination(name))
    before = untar(path)
    digest = tag_image(f"docker-archive:{path}:one:1", "two:1", "three:3")
    assert names_at(f"docker-archive:{path}") == [
        tuple(f"docker.io/library/{name}" for name in ("one:1", "two:1", "three:3")),
        (),
    ]
    assert digest_at(f"docker-archive:{path}:three:3") == str(digest)
    after = untar(path)
    tables = {"manifest.json", "repositories", "index.json"}
    assert {n: d for n, d in after.items() if n not in tables} == {
        n: d for n, d in before.items() if n not in tables
    }
    assert set(json.loads(after["repositories"])) == {
        f"docker.io/library/{name}" for name in ("one", "two", "three")
    }


def test_a_docker_archive_without_an_oci_half_keeps_unknown_fields(tmp_path: Path) -> None:
    save = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    files = untar(save)
    items = json.loads(files["manifest.json"])
    items[0]["Vendor"] = 1
    items[0]["repotags"] = items[0].pop("RepoTags")
    save.write_bytes(tar(files | {"manifest.json": json.dumps(items).encode()}))
    tag_image(f"docker-archive:{save}", "new:1")
    after = json.loads(untar(save)["manifest.json"])
    assert after == [items[0] | {"repotags": ["one:1", "docker.io/library/new:1"]}]


def test_a_registry_gets_the_same_manifest_and_no_blob(registry: FakeRegistry) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    add_layout(registry, "app", "1", layout.files, index)
    repository = f"docker://{registry.address}/app"
    digest = tag_image(f"{repository}:1", "2", f"{registry.address}/app:3", f"{repository}:4")
    assert str(digest) == index["digest"]
    held = registry.manifests["app"]
    assert held["2"] == held["3"] == held["4"] == held["1"]
    assert not registry.requests("POST")
    assert not registry.requests("GET", "/blobs/")


def test_names_of_another_repository_are_refused(registry: FakeRegistry) -> None:
    layout = Layout()
    add_layout(registry, "app", "1", layout.files, layout.image(ONE))
    for name in (f"{registry.address}/other:1", "sha256:" + "0" * 64, "bad tag"):
        with pytest.raises(UsageError):
            tag_image(f"docker://{registry.address}/app:1", "2", name)
    assert not registry.requests("PUT")


def test_a_daemon_tags_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_daemon(tmp_path / "s") as daemon:
        monkeypatch.setenv("DOCKER_HOST", daemon.host)
        kept = daemon.add(ONE, "one:1")
        assert str(tag_image("docker-daemon:one:1", "other/two:2", "three")) == kept.id
        posts = [request for request in daemon.requests if request.startswith("POST")]
        assert posts == [
            f"POST /images/{kept.id}/tag?repo=docker.io%2Fother%2Ftwo&tag=2",
            f"POST /images/{kept.id}/tag?repo=docker.io%2Flibrary%2Fthree&tag=latest",
        ]
        with pytest.raises(ImageNotFoundError):
            tag_image("docker-daemon:none:1", "x")
        with DockerDaemonReader.open() as reader, pytest.raises(UsageError, match="digest"):
            reader.tag("one:1", None, ["x@sha256:" + "0" * 64])


@pytest.mark.parametrize(
    ("location", "names", "error"),
    [
        ("oci:in:none", ["x"], ImageNotFoundError),
        ("oci:in:app", [], UsageError),
        ("oci:in:app", [""], UsageError),
        ("docker-archive:-", ["x"], UsageError),
        ("dir:out", ["x"], UnsupportedError),
        ("docker-archive:save.tar", ["UPPER"], UsageError),
        ("docker-archive:save.tar", ["x@sha256:" + "0" * 64], UsageError),
        ("docker-archive:save.tar:none:1", ["x"], ImageNotFoundError),
    ],
)
def test_refusals_change_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    location: str,
    names: list[str],
    error: type[Exception],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "in", layout_of(ONE, "app"))
    copy("oci:in", "dir:out")
    docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    before = read_files(tmp_path)
    with pytest.raises(error):
        tag_image(location, *names)
    assert read_files(tmp_path) == before


def test_an_archive_from_before_docker_1_10_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.tar"
    files = {"repositories": b'{"a": {"1": "x"}}', "x/json": b"{}", "x/layer.tar": tar({})}
    path.write_bytes(tar(files))
    with pytest.raises(RefusedError, match=r"before Docker 1\.10"):
        tag_image(f"docker-archive:{path}:a:1", "b:1")


def test_names_given_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    where = f"oci:{write_files(tmp_path / 'in', layout_of(ONE, 'app'))}"
    names = [f"name-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: tag_image(f"{where}:app", name), names))
    found = names_in(check_layout(read_files(tmp_path / "in")))
    assert sorted(filter(None, found)) == ["app", *names]


def test_a_failure_leaves_the_layout_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = write_files(tmp_path / "in", layout_of(ONE, "app"))
    before = read_files(where)

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tarkit.transports.oci_layout.editing.write_file", fail)
    with pytest.raises(NoSpaceError):
        tag_image(f"oci:{where}:app", "new")
    assert read_files(where) == before
