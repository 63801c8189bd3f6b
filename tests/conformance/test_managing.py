"""Real tools read images that the small commands changed, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import NotFoundError, UnsupportedError
from tarkit.image.platform import Platform
from tarkit.managing.annotations import annotate_image
from tarkit.managing.content import open_blob, put_blob, put_manifest
from tarkit.managing.deletion import delete_image
from tarkit.managing.indexes import add_to_index, create_index, remove_from_index
from tarkit.managing.tags import tag_image
from tarkit.transports.location import open_source
from tarkit.transports.oci_layout.pruning import prune_layout
from tarkit.transports.registry.catalog import list_repositories
from tarkit.verifying.runner import verify
from tests.builders import (
    Doc,
    blob,
    docker_archive,
    layout_of,
    load,
    make_image,
    read_files,
    write_files,
)
from tests.conformance.tools import Tool, find_tool, running_registry
from tests.managing.test_referrers import copy, referrers_at, signed_layout

ONE, TWO = make_image("base", "one"), make_image("base", "two")
ARM = make_image("base", "arm", architecture="arm64")


@pytest.fixture(autouse=True)
def nobody_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def registry() -> Iterator[str]:
    with running_registry() as address:
        yield address


@pytest.fixture
def save(tmp_path: Path) -> Path:
    return docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1"]))


def digest_at(location: str) -> str:
    with open_source(location) as source:
        return str(source.manifest().digest)


def test_skopeo_reads_a_tagged_layout_and_umoci_lists_it(
    skopeo: Tool, umoci: Tool, save: Path, tmp_path: Path
) -> None:
    layout = tmp_path / "layout"
    skopeo("copy", f"docker-archive:{save}:one:1", f"oci:{layout}:one")
    umoci("tag", "--image", f"{layout}:one", "umoci")
    tag_image(f"oci:{layout}:umoci", "tarkit")
    assert sorted(umoci("list", "--layout", layout).split()) == ["one", "tarkit", "umoci"]
    skopeo("copy", f"oci:{layout}:tarkit", f"dir:{tmp_path / 'out'}")
    delete_image(f"oci:{layout}:one")
    umoci("unpack", "--rootless", "--image", f"{layout}:umoci", tmp_path / "bundle")


def test_umoci_finds_no_garbage_after_prune_and_no_loss(
    skopeo: Tool, umoci: Tool, save: Path, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for layout in (ours, theirs):
        for name in ("one", "two"):
            skopeo("copy", f"docker-archive:{save}:{name}:1", f"oci:{layout}:{name}")
        umoci("remove", "--image", f"{layout}:one")
    umoci("gc", "--layout", theirs)
    assert prune_layout(ours)
    assert read_files(ours).keys() == read_files(theirs).keys()
    skopeo("copy", f"oci:{ours}:two", f"dir:{tmp_path / 'out'}")


def test_deletion_equals_umoci_s(skopeo: Tool, umoci: Tool, save: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for layout in (ours, theirs):
        for name in ("one", "two"):
            skopeo("copy", f"docker-archive:{save}:{name}:1", f"oci:{layout}:{name}")
    delete_image(f"oci:{ours}:one")
    umoci("remove", "--image", f"{theirs}:one")
    umoci("gc", "--layout", theirs)
    assert read_files(ours).keys() == read_files(theirs).keys()


def test_podman_loads_a_changed_docker_archive(podman: Tool, save: Path) -> None:
    tag_image(f"docker-archive:{save}:one:1", "new:2")
    delete_image(f"docker-archive:{save}:two:1")
    delete_image(f"docker-archive:{save}:one:1")
    loaded = podman("load", "--quiet", "--input", save)
    assert loaded.split()[-1].endswith("new:2")


def test_docker_loads_its_own_archive_after_changes(docker: Tool, tmp_path: Path) -> None:
    first = docker_archive(tmp_path / "first.tar", (ONE, ["one:1"]), (TWO, ["two:1"]))
    docker("load", "--input", first)
    saved = tmp_path / "saved.tar"
    docker("save", "--output", saved, "one:1", "two:1")
    tag_image(f"docker-archive:{saved}:one:1", "changed:2")
    delete_image(f"docker-archive:{saved}:two:1")
    docker("rmi", "one:1", "two:1")
    docker("load", "--input", saved)
    tags = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert {"one:1", "changed:2"} <= set(tags)
    assert "two:1" not in tags


def test_a_daemon_is_asked_to_tag(
    docker: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = docker.command[docker.command.index("--host") + 1]
    monkeypatch.setenv("DOCKER_HOST", host)
    image = docker_archive(tmp_path / "tag.tar", (ARM, ["tag-me:1"]))
    docker("load", "--input", image)
    tag_image("docker-daemon:tag-me:1", "localhost:5000/team/tagged:2")
    ids = [
        docker("image", "inspect", "--format", "{{.Id}}", name)
        for name in ("tag-me:1", "localhost:5000/team/tagged:2")
    ]
    assert ids[0] == ids[1]


def test_a_registry_is_tagged_annotated_and_cleaned(
    skopeo: Tool, registry: str, save: Path
) -> None:
    plain = ("--tls-verify=false",)
    where = f"docker://{registry}/team/app"
    skopeo("copy", "--dest-tls-verify=false", f"docker-archive:{save}:one:1", f"{where}:1")
    tag_image(f"{where}:1", "2", "latest")
    tags = json.loads(skopeo("list-tags", *plain, where))["Tags"]
    assert sorted(tags) == ["1", "2", "latest"]
    raw = [skopeo("inspect", "--raw", *plain, f"{where}:{tag}") for tag in ("1", "2")]
    assert raw[0] == raw[1]
    with pytest.raises(UnsupportedError, match="no annotations"):  # skopeo pushed Docker's format
        annotate_image(f"{where}:2", {"a": "b"})
    with pytest.raises(UnsupportedError):
        annotate_image(f"docker-archive:{save}:one:1", {"a": "b"})
    assert list(list_repositories(registry)) == ["team/app"]
    delete_image(f"{where}:1")
    with pytest.raises(NotFoundError):
        delete_image(f"{where}:2")
    assert skopeo.attempt("inspect", *plain, f"{where}:1").returncode


def test_skopeo_copies_an_index_that_tarkit_made(
    skopeo: Tool, registry: str, save: Path, tmp_path: Path
) -> None:
    write_files(tmp_path / "arm", layout_of(ARM, "arm"))
    sources = (f"docker-archive:{save}:one:1", f"oci:{tmp_path / 'arm'}:arm")
    for index in (f"oci:{tmp_path / 'index'}:all", f"docker://{registry}/all:1"):
        create_index(index, *sources)
        add_to_index(index, f"docker-archive:{save}:two:1")
        annotate_image(index, {"of": "the index"})
        options = ("--all", "--src-tls-verify=false")
        out = tmp_path / index.partition(":")[0]
        skopeo("copy", *options, index, f"oci:{out}:copy")
        files = read_files(out)
        top = load(files, json.loads(files["index.json"])["manifests"][0])
        architectures = [child["platform"]["architecture"] for child in top["manifests"]]
        assert sorted(architectures) == ["amd64", "arm64"]
        assert top["annotations"] == {"of": "the index"}
        two = next(c for c in top["manifests"] if c["platform"]["architecture"] == "amd64")
        assert load(files, load(files, two)["config"])["rootfs"]["diff_ids"] == TWO.diff_ids
        annotate_image(index, {"of": "arm"}, platform=Platform.parse("linux/arm64"))
        remove_from_index(index, "linux/amd64")
        skopeo("copy", *options, "--override-arch=arm64", index, f"dir:{out}-arm")


def test_podman_s_manifest_list_is_extended(
    podman: Tool, registry: str, save: Path, tmp_path: Path
) -> None:
    podman("load", "--quiet", "--input", save)
    podman("manifest", "create", "list:1", "containers-storage:localhost/one:1")
    where = f"docker://{registry}/list:1"
    podman("manifest", "push", "--all", "--tls-verify=false", "list:1", where)
    write_files(tmp_path / "arm", layout_of(ARM, "arm"))
    add_to_index(where, f"oci:{tmp_path / 'arm'}:arm")
    skopeo = find_tool("skopeo")
    top: Doc = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", where))
    architectures = [child["platform"]["architecture"] for child in top["manifests"]]
    assert sorted(architectures) == ["amd64", "arm64"]
    assert not [f for f in verify(where).findings if f.severity.value == "error"]


def test_parts_in_a_real_registry(skopeo: Tool, registry: str, tmp_path: Path) -> None:
    files = layout_of(ONE, "app")
    entry = json.loads(files["index.json"])["manifests"][0]
    where = f"docker://{registry}/parts"
    manifest = load(files, entry)
    for part in (manifest["config"], *manifest["layers"]):
        write_files(tmp_path, {"part": blob(files, part)})
        with (tmp_path / "part").open("rb") as file:
            assert str(put_blob(where, file).digest) == part["digest"]
        with open_blob(where, part["digest"]) as stream:
            assert stream.read() == blob(files, part)
    put_manifest(f"{where}:1", blob(files, entry))
    skopeo("copy", "--src-tls-verify=false", f"{where}:1", f"oci:{tmp_path / 'out'}:app")
    assert digest_at(f"oci:{tmp_path / 'out'}:app") == entry["digest"]


def test_referrers_survive_a_registry_without_the_api(registry: str, tmp_path: Path) -> None:
    one, signed, twice = signed_layout(tmp_path / "in")
    where = f"docker://{registry}/signed:1"
    assert copy(f"oci:{tmp_path / 'in'}:app", where) == 2
    assert referrers_at(where) == [signed["digest"]]
    skopeo = find_tool("skopeo")
    tag = one["digest"].replace(":", "-")
    raw = skopeo("inspect", "--raw", "--tls-verify=false", f"docker://{registry}/signed:{tag}")
    assert [child["digest"] for child in json.loads(raw)["manifests"]] == [signed["digest"]]
    assert copy(where, f"oci:{tmp_path / 'out'}:app") == 2
    assert referrers_at(f"oci:{tmp_path / 'out'}:app", signed["digest"]) == [twice["digest"]]


def test_a_registry_without_deletion_says_so(skopeo: Tool, save: Path, tmp_path: Path) -> None:
    from tests.conformance.tools import LISTENING, background, wait_until

    config, log = tmp_path / "config.yml", tmp_path / "log"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        "http: {addr: '127.0.0.1:0'}\n"
    )
    program = find_tool("docker-registry").with_options("serve", config)
    with background(program, log) as process:
        wait_until(lambda: LISTENING.search(log.read_text()) is not None, process, log)
        where = f"docker://{LISTENING.findall(log.read_text())[0]}/app:1"
        skopeo("copy", "--dest-tls-verify=false", f"docker-archive:{save}:one:1", where)
        with pytest.raises(UnsupportedError, match=r"does not allow deletion \(405\): UNSUPPORTED"):
            delete_image(where)
