"""Everything that a client can read from a registry over files."""

from __future__ import annotations

import gzip
import socket
from pathlib import Path

import pytest

from tarkit import RegistryServer, UsageError, copy_image, open_source, open_writer
from tarkit.errors import TransportError
from tests.builders import (
    Layout,
    classic_files,
    docker_archive,
    layout_of,
    make_image,
    multi_platform,
    named,
    read_files,
    sha256,
    tar,
    write_files,
)
from tests.serving.conftest import Client, Serve

ONE, TWO = make_image("base", "one"), make_image("base", "two")


@pytest.fixture
def client(serve: Serve, tmp_path: Path) -> Client:
    archive = docker_archive(
        tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["quay.io/team/two:1", "two:2"])
    )
    return serve(archive)


def test_the_base_endpoint_answers(client: Client) -> None:
    answer = client("GET", "/v2/")
    assert (answer.status, answer.headers["Docker-Distribution-API-Version"]) == (
        200,
        "registry/2.0",
    )


def test_repositories_are_the_names_without_the_registry(client: Client) -> None:
    assert client("GET", "/v2/_catalog").document == {"repositories": ["one", "team/two", "two"]}
    assert client("GET", "/v2/team/two/tags/list").document == {"name": "team/two", "tags": ["1"]}
    assert client("GET", "/v2/library/one/tags/list").document["tags"] == ["1"]


def test_a_manifest_and_its_blobs_are_served_as_the_source_has_them(
    client: Client, tmp_path: Path
) -> None:
    answer = client("GET", "/v2/one/manifests/1")
    with open_source(f"docker-archive:{tmp_path / 'save.tar'}:one:1") as source:
        raw = source.manifest()
    assert answer.body == raw.data
    assert answer.headers["Content-Type"] == raw.media_type
    assert answer.headers["Docker-Content-Digest"] == str(raw.digest) == sha256(answer.body)
    assert client("GET", f"/v2/one/manifests/{raw.digest}").body == raw.data
    for blob in (answer.document["config"], *answer.document["layers"]):
        found = client("GET", f"/v2/one/blobs/{blob['digest']}")
        assert sha256(found.body) == blob["digest"] == found.headers["Docker-Content-Digest"]
        assert int(found.headers["Content-Length"]) == blob["size"]


@pytest.mark.parametrize("path", ["/v2/one/manifests/1", f"/v2/one/blobs/{ONE.digest}"])
def test_head_sends_the_same_headers_without_a_body(client: Client, path: str) -> None:
    head, get = client("HEAD", path), client("GET", path)
    assert head.body == b""
    assert get.body
    assert {**head.headers, "Date": ""} == {**get.headers, "Date": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5-9", slice(5, 10)),
        ("bytes=5-", slice(5, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=0-99999999", slice(0, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
def test_a_range_is_a_part(client: Client, text: str, expected: slice) -> None:
    config = ONE.config
    answer = client("GET", f"/v2/one/blobs/{ONE.digest}", Range=text)
    part = config[expected]
    start = config.index(part) if len(part) > 1 else 0
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(config)}"


@pytest.mark.parametrize("text", ["bytes=0-1,3-4", "lines=1-2", "bytes=9-5", "bytes=", "junk"])
def test_other_ranges_are_ignored(client: Client, text: str) -> None:
    answer = client("GET", f"/v2/one/blobs/{ONE.digest}", Range=text)
    assert (answer.status, answer.body) == (200, ONE.config)


@pytest.mark.parametrize("text", [f"bytes={len(ONE.config)}-", "bytes=99999999-", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_satisfied(client: Client, text: str) -> None:
    answer = client("GET", f"/v2/one/blobs/{ONE.digest}", Range=text)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(ONE.config)}"


def test_lists_are_paged(serve: Serve, tmp_path: Path) -> None:
    tags = [f"app:{tag}" for tag in "bdac"]
    client = serve(docker_archive(tmp_path / "save.tar", (ONE, tags)))
    first = client("GET", "/v2/app/tags/list?n=2")
    assert first.document["tags"] == ["a", "b"]
    assert first.headers["Link"] == '</v2/app/tags/list?n=2&last=b>; rel="next"'
    second = client("GET", "/v2/app/tags/list?n=2&last=b")
    assert second.document["tags"] == ["c", "d"]
    assert "Link" not in second.headers
    assert client("GET", "/v2/app/tags/list?last=c").document["tags"] == ["d"]
    assert client("GET", "/v2/app/tags/list?n=0").document["tags"] == []
    assert client("GET", "/v2/app/tags/list?n=x").code == "SIZE_INVALID"
    assert client("GET", "/v2/_catalog?n=1").document == {"repositories": ["app"]}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/one/manifests/9", 404, "MANIFEST_UNKNOWN"),
        ("/v2/nine/manifests/1", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/one/manifests/sha256:{'0' * 64}", 404, "MANIFEST_UNKNOWN"),
        (f"/v2/one/blobs/sha256:{'0' * 64}", 404, "BLOB_UNKNOWN"),
        ("/v2/nine/tags/list", 404, "NAME_UNKNOWN"),
        ("/v2/One/tags/list", 400, "NAME_INVALID"),
        ("/v2/../../etc/passwd/manifests/1", 400, "NAME_INVALID"),
        ("/v2/one/blobs/..%2f..%2fetc", 404, "UNSUPPORTED"),
        ("/v2/one/blobs/sha256:..", 400, "DIGEST_INVALID"),
        ("/v2/one/blobs/md5:00", 400, "DIGEST_INVALID"),
        ("/v2/one/manifests/-x", 400, "TAG_INVALID"),
        ("/v2/one/referrers/x", 400, "DIGEST_INVALID"),
        ("/", 404, "UNSUPPORTED"),
        ("/v1/", 404, "UNSUPPORTED"),
    ],
)
def test_errors_have_a_code(client: Client, path: str, status: int, code: str) -> None:
    answer = client("GET", path)
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_an_archive_is_read_only(client: Client, method: str) -> None:
    path = "blobs/uploads/x" if method in ("PATCH", "PUT") else "blobs/uploads/"
    path = f"manifests/{ONE.digest}" if method == "DELETE" else path
    answer = client(method, f"/v2/one/{path}", b"x" * 100)
    assert (answer.status, answer.code) == (405, "DENIED")


def test_an_index_is_served_whole(serve: Serve, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "layout", layout.finish(named(index, "team/app:1")))
    client = serve(f"oci:{tmp_path / 'layout'}")
    top = client("GET", "/v2/team/app/manifests/1")
    assert top.headers["Docker-Content-Digest"] == index["digest"]
    for child in top.document["manifests"]:
        found = client("GET", f"/v2/team/app/manifests/{child['digest']}")
        assert sha256(found.body) == child["digest"]
        assert found.headers["Content-Type"] == child["mediaType"]


def test_an_image_without_a_repository_is_in_one_called_like_the_file(
    serve: Serve, tmp_path: Path
) -> None:
    layout = Layout()
    entries = [named(layout.image(ONE), "1.0"), layout.image(TWO)]
    write_files(tmp_path / "My_App", layout.finish(*entries))
    client = serve(tmp_path / "My_App")
    assert client("GET", "/v2/_catalog").document == {"repositories": ["my-app"]}
    assert client("GET", "/v2/my-app/tags/list").document["tags"] == ["1.0"]
    digest = entries[1]["digest"]
    assert sha256(client("GET", f"/v2/my-app/manifests/{digest}").body) == digest


def test_the_only_image_needs_no_name(serve: Serve, tmp_path: Path) -> None:
    write_files(tmp_path / "app", layout_of(ONE, None))
    assert serve(tmp_path / "app")("GET", "/v2/app/manifests/latest").status == 200


def test_name_is_the_repository_of_all_images(serve: Serve, tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:2"]))
    client = serve(archive, name="team/all")
    assert client("GET", "/v2/_catalog").document == {"repositories": ["team/all"]}
    assert client("GET", "/v2/team/all/tags/list").document["tags"] == ["1", "2"]


def test_of_two_images_with_one_name_the_first_is_served(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["a.io/app:1"]), (TWO, ["b.io/app:1"]))
    with RegistryServer.open(archive) as server:
        assert server.references == (f"{server.address}/app:1",)
        assert server.notes == ("app:1 is a.io/app:1; b.io/app:1 is left out",)


def test_a_compressed_archive_is_served(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "save.tar.gz").write_bytes(gzip.compress(tar(classic_files((ONE, ["one:1"])))))
    client = serve(tmp_path / "save.tar.gz")
    for layer in reversed(client("GET", "/v2/one/manifests/1").document["layers"]):
        assert sha256(client("GET", f"/v2/one/blobs/{layer['digest']}").body) == layer["digest"]


def test_referrers_are_listed_and_filtered(serve: Serve, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(ONE)
    kinds = ["application/vnd.a", "application/vnd.b"]
    signatures = [
        layout.image(TWO, subject=image, artifactType=kind, annotations={"kind": kind})
        for kind in kinds
    ]
    write_files(tmp_path / "app", layout.finish(named(image, "app:1"), *signatures))
    client = serve(tmp_path / "app")
    found = client("GET", f"/v2/app/referrers/{image['digest']}")
    assert found.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json"
    assert [
        (entry["digest"], entry["artifactType"], entry["annotations"])
        for entry in found.document["manifests"]
    ] == [
        (signature["digest"], kind, {"kind": kind})
        for signature, kind in zip(signatures, kinds, strict=True)
    ]
    path = f"/v2/app/referrers/{image['digest']}?artifactType={kinds[1]}"
    filtered = client("GET", path)
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["artifactType"] for entry in filtered.document["manifests"]] == [kinds[1]]
    nothing = client("GET", f"/v2/app/referrers/sha256:{'0' * 64}")
    assert (nothing.status, nothing.document["manifests"]) == (200, [])


def test_a_layout_that_changes_is_read_again(serve: Serve, tmp_path: Path) -> None:
    write_files(tmp_path / "app", layout_of(ONE, "app:1"))
    client = serve(tmp_path / "app")
    assert client("GET", "/v2/app/tags/list").document["tags"] == ["1"]
    archive = docker_archive(tmp_path / "save.tar", (TWO, ["two:1"]))
    with (
        open_source(f"docker-archive:{archive}") as source,
        open_writer(f"oci:{tmp_path / 'app'}") as writer,
    ):
        copy_image(source, writer.destination("app:2"))
    assert client("GET", "/v2/app/tags/list").document["tags"] == ["1", "2"]
    assert client("GET", "/v2/app/manifests/2").status == 200


def test_a_damaged_image_does_not_hide_the_others(serve: Serve, tmp_path: Path) -> None:
    layout = Layout()
    entries = [layout.image(ONE), layout.image(TWO)]
    files = layout.finish(named(entries[0], "a:1"), named(entries[1], "b:1"))
    name = f"blobs/sha256/{entries[0]['digest'][7:]}"
    files[name] = files[name].replace(b"schemaVersion", b"schemaversion")
    client = serve(write_files(tmp_path / "app", files))
    answer = client("GET", "/v2/a/manifests/1")
    assert (answer.status, answer.code) == (500, "UNKNOWN")
    assert str(tmp_path) not in answer.body.decode()
    digest = entries[1]["digest"]
    assert client("GET", f"/v2/b/manifests/{digest}").status == 200


def test_a_blob_that_is_too_short_breaks_off(serve: Serve, tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    client = serve(archive)
    layer = client("GET", "/v2/one/manifests/1").document["layers"][-1]["digest"]
    archive.write_bytes(archive.read_bytes()[:1000])
    request = f"GET /v2/one/blobs/{layer} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head, _, body = client.raw(request.encode()).partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert len(body) < len(ONE.layers[-1])


def test_serving_changes_nothing(serve: Serve, tmp_path: Path) -> None:
    files = layout_of(ONE, "app:1")
    client = serve(write_files(tmp_path / "app", files))
    client("GET", "/v2/app/manifests/1")
    assert read_files(tmp_path / "app") == files


@pytest.mark.parametrize(
    "location", ["docker://127.0.0.1:1/app", "docker-daemon:app", "docker-archive:-", "oci:x:name"]
)
def test_only_whole_files_and_directories_are_served(location: str) -> None:
    with pytest.raises(UsageError):
        RegistryServer.open(location)


@pytest.mark.parametrize("name", ["App", "a/../b", "", "a b", "x" * 300])
def test_the_name_of_the_repository_is_checked(tmp_path: Path, name: str) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    with pytest.raises(UsageError, match="repository"):
        RegistryServer.open(archive, name=name)


def test_a_port_in_use_is_one_clear_error(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    with RegistryServer.open(archive) as server:
        port = int(server.address.rpartition(":")[2])
        with pytest.raises(TransportError, match=f"cannot listen on 127.0.0.1 port {port}"):
            RegistryServer.open(archive, port=port)


def test_the_server_listens_on_ipv6(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback interface")
    with RegistryServer.open(archive, host="::1") as server:
        assert server.address.startswith("[::1]:")
        with open_source(f"docker://{server.address}/one:1") as source:
            assert source.manifest().digest
