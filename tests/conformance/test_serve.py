"""Real clients pull from and push to ``tarkit serve``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tarkit import RegistryServer, inspect_image, open_source, verify
from tarkit.image.media_types import DOCKER_MANIFEST
from tarkit.testing import registry
from tests.builders import (
    Doc,
    copy,
    docker_archive,
    image_of,
    make_image,
    multi_platform,
    named,
    read_files,
    tar,
    write_files,
)
from tests.conformance.registries import running
from tests.conformance.tools import Tool
from tests.transports.registry.images import big_image

ARCHIVES = [
    "docker-20.10-save.tar",
    "docker-29-ctrd-save.tar",
    "podman-docker-archive.tar",
    "buildkit-oci-zstd.tar",
    "umoci-oci",
    "skopeo-oci-uncompressed",
    "skopeo-dir",
]
PLAIN = "--tls-verify=false"


@pytest.fixture(autouse=True)
def nobody_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove all credentials and skopeo's cache of blob locations."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry() as running_server:
        yield running_server


@pytest.mark.parametrize("archive", ARCHIVES)
def test_skopeo_pulls_every_image(skopeo: Tool, corpus: Path, tmp_path: Path, archive: str) -> None:
    with RegistryServer.open(corpus / archive) as server:
        assert server.references
        for number, reference in enumerate(server.references):
            target = f"dir:{tmp_path / str(number)}"
            skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{reference}", target)
            assert verify(target).ok
            with open_source(f"docker://{reference}") as served, open_source(target) as pulled:
                assert pulled.manifest().digest == served.manifest().digest


def test_skopeo_lists_inspects_and_deletes(
    skopeo: Tool, server: RegistryServer, tmp_path: Path
) -> None:
    for tag in ("1", "2"):
        archive = docker_archive(tmp_path / f"{tag}.tar", (make_image(tag), ["app:x"]))
        copy(f"docker-archive:{archive}", f"docker://{server.address}/team/app:{tag}")
    name = f"docker://{server.address}/team/app"
    listed = json.loads(skopeo("list-tags", PLAIN, name))
    assert listed["Tags"] == ["1", "2"]
    inspected = json.loads(skopeo("inspect", PLAIN, f"{name}:1"))
    with open_source(f"{name}:1") as source:
        assert inspected["Digest"] == str(source.manifest().digest)
    skopeo("delete", PLAIN, f"{name}:1")
    assert json.loads(skopeo("list-tags", PLAIN, name))["Tags"] == ["2"]


def test_skopeo_pushes_an_index_and_mounts(
    skopeo: Tool, server: RegistryServer, tmp_path: Path
) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "layout", layout.finish(named(index, "x")))
    for name in ("one/app", "two/app"):
        target = f"docker://{server.address}/{name}:1"
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path / 'layout'}:x", target)
        with open_source(target) as source:
            assert str(source.manifest().digest) == index["digest"]
        assert verify(target).ok


def test_podman_pulls_runs_nothing_and_pushes(
    podman: Tool, server: RegistryServer, tmp_path: Path
) -> None:
    archive = docker_archive(tmp_path / "save.tar", (make_image("base", "one"), ["one:1"]))
    with RegistryServer.open(archive) as source:
        podman("pull", PLAIN, f"{source.address}/one:1")
    podman("push", PLAIN, f"{source.address}/one:1", f"{server.address}/from/podman:1")
    pushed = f"docker://{server.address}/from/podman:1"
    assert verify(pushed).ok
    with open_source(pushed) as image, open_source(f"docker-archive:{archive}") as original:
        assert [layer.diff_id for layer in inspect_image(image).layers] == [
            layer.diff_id for layer in inspect_image(original).layers
        ]


def test_docker_pulls_and_pushes(docker: Tool, server: RegistryServer, tmp_path: Path) -> None:
    image = image_of([tar({"hello.txt": b"hello"})])
    archive = docker_archive(tmp_path / "save.tar", (image, ["library/hello:1"]))
    with RegistryServer.open(archive) as source:
        docker("pull", f"{source.address}/hello:1")
        pulled = json.loads(docker("image", "inspect", f"{source.address}/hello:1"))[0]
        assert pulled["Id"] == image.digest
        docker("tag", f"{source.address}/hello:1", f"{server.address}/team/hello:2")
    docker("push", f"{server.address}/team/hello:2")
    assert server.references == (f"{server.address}/team/hello:2",)
    assert verify(f"docker://{server.address}/team/hello:2").ok
    docker("rmi", "--force", image.digest)
    docker("pull", f"{server.address}/team/hello:2")


def test_large_layers_move_both_ways(server: RegistryServer, tmp_path: Path) -> None:
    location = big_image(tmp_path / "big", 20_000_000, layers=2)
    copy(f"{location}:x", f"docker://{server.address}/big:1")
    copy(f"docker://{server.address}/big:1", f"oci:{tmp_path / 'back'}:x")
    assert verify(f"oci:{tmp_path / 'back'}").ok
    before, after = read_files(tmp_path / "big"), read_files(tmp_path / "back")
    assert [before[name] for name in sorted(before) if "blobs" in name] == [
        after[name] for name in sorted(after) if "blobs" in name
    ]


def asked(address: str, method: str, path: str, body: bytes, headers: Doc) -> Doc:
    """Return the parts of an answer that clients rely on."""
    connection = HTTPConnection(address, timeout=20)
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    errors = json.loads(data)["errors"] if answer.status >= 400 and data else []
    kept = ("Docker-Content-Digest", "Content-Range", "Link", "Docker-Distribution-API-Version")
    return {
        "status": answer.status,
        "code": [error["code"] for error in errors],
        "headers": {name: answer.headers[name] for name in kept if name in answer.headers},
        "body": data if answer.status in (200, 206) and "manifests" in path else None,
    }


def test_answers_are_those_of_the_reference_registry(
    server: RegistryServer, tmp_path: Path
) -> None:
    """Compare with Debian's docker-registry, request by request."""
    image = make_image("base", "one")
    archive = docker_archive(tmp_path / "save.tar", (image, ["one:1"]))
    with running() as reference:
        addresses = (server.address, reference.address)
        for address in addresses:
            for tag in ("1", "2"):
                copy(f"docker-archive:{archive}", f"docker://{address}/team/app:{tag}")
        with open_source(f"docker://{server.address}/team/app:1") as source:
            digest = source.manifest().digest
        nothing = f"sha256:{'0' * 64}"
        blob = f"/v2/team/app/blobs/{image.digest}"
        requests: list[tuple[str, str, bytes, Doc]] = [
            ("GET", "/v2/", b"", {}),
            ("GET", "/v2/_catalog", b"", {}),
            ("GET", "/v2/team/app/tags/list", b"", {}),
            ("GET", "/v2/nope/tags/list", b"", {}),
            ("GET", "/v2/team/app/manifests/1", b"", {"Accept": DOCKER_MANIFEST}),
            ("GET", f"/v2/team/app/manifests/{digest}", b"", {"Accept": DOCKER_MANIFEST}),
            ("HEAD", "/v2/team/app/manifests/2", b"", {"Accept": DOCKER_MANIFEST}),
            ("GET", "/v2/team/app/manifests/9", b"", {}),
            ("GET", f"/v2/team/app/manifests/{nothing}", b"", {}),
            ("GET", blob, b"", {}),
            ("HEAD", blob, b"", {}),
            ("GET", blob, b"", {"Range": "bytes=2-5"}),
            ("GET", blob, b"", {"Range": "bytes=-5"}),
            ("GET", f"/v2/team/app/blobs/{nothing}", b"", {}),
            ("HEAD", f"/v2/team/app/blobs/{nothing}", b"", {}),
            ("POST", f"/v2/other/blobs/uploads/?mount={image.digest}&from=team/app", b"", {}),
            ("PUT", "/v2/team/app/manifests/3", b"{", {"Content-Type": DOCKER_MANIFEST}),
            ("DELETE", f"/v2/team/app/manifests/{nothing}", b"", {}),
            ("DELETE", f"/v2/team/app/manifests/{digest}", b"", {}),
            ("GET", "/v2/team/app/manifests/1", b"", {"Accept": DOCKER_MANIFEST}),
        ]
        for method, path, body, headers in requests:
            ours, theirs = (asked(each, method, path, body, headers) for each in addresses)
            assert ours == theirs, f"{method} {path} {headers}"


def test_containerd_pulls_all_platforms_and_pushes(
    ctr: Tool, server: RegistryServer, tmp_path: Path
) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "layout", layout.finish(named(index, "multi:1")))
    with RegistryServer.open(tmp_path / "layout") as source:
        reference = f"{source.address}/multi:1"
        ctr("images", "pull", "--plain-http", "--all-platforms", reference)
    pushed = f"{server.address}/from/ctr:1"
    ctr("images", "push", "--plain-http", pushed, reference)
    with open_source(f"docker://{pushed}") as image:
        assert str(image.manifest().digest) == index["digest"]
    assert verify(f"docker://{pushed}").ok
