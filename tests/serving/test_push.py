"""Everything that a client can write to a layout."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from tarkit import RefusedError, RegistryServer, UsageError, open_reader, verify
from tarkit.blobs.writing import BlobWriter
from tarkit.image.media_types import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from tarkit.serving.problems import Problem
from tarkit.serving.uploads import Uploads
from tarkit.streams.atomic import PendingFile
from tarkit.streams.directory import Directory
from tests.builders import (
    Doc,
    Layout,
    check_layout,
    digest_of,
    docker_archive,
    dump,
    layout_of,
    leftovers,
    make_image,
    multi_platform,
    named,
    names_in,
    read_files,
    sha256,
    write_files,
)
from tests.serving.conftest import Client, Serve

ONE, TWO = make_image("base", "one"), make_image("base", "two")


def push(client: Client, layout: Layout, descriptor: Doc, reference: str, name: str = "app") -> Doc:
    """Push the manifest of *descriptor* and its blobs from *layout*; return the manifest."""
    data = layout.files[f"blobs/sha256/{descriptor['digest'][7:]}"]
    manifest: Doc = json.loads(data)
    for blob in (manifest["config"], *manifest["layers"]):
        content = layout.files[f"blobs/sha256/{blob['digest'][7:]}"]
        assert client.push_blob(content, blob["digest"], name).status == 201
    answer = client.put(reference, data, descriptor["mediaType"], name)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, descriptor["digest"])
    return manifest


def test_a_pushed_image_is_in_the_layout_under_its_name(empty: Client, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(ONE)
    push(empty, layout, image, "1", "team/app")
    files = read_files(tmp_path / "layout")
    entry = check_layout(files)["manifests"][0]
    assert (entry["digest"], names_in(check_layout(files))) == (image["digest"], ["team/app:1"])
    assert files.keys() == layout.files.keys() | {"index.json", "oci-layout"}
    assert verify(f"oci:{tmp_path / 'layout'}").ok
    assert empty("GET", "/v2/team/app/manifests/1").headers["Content-Type"] == OCI_MANIFEST


def test_a_repository_that_looks_like_a_host_keeps_its_name(empty: Client, tmp_path: Path) -> None:
    layout = Layout()
    push(empty, layout, layout.image(ONE), "1", "localhost/app")
    assert empty("GET", "/v2/_catalog").document == {"repositories": ["localhost/app"]}
    assert names_in(check_layout(read_files(tmp_path / "layout"))) == ["docker.io/localhost/app:1"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_blob_arrives_in_one_request(empty: Client, chunked: bool) -> None:
    data = b"x" * 3_000_000
    path = f"/v2/app/blobs/uploads/?digest={sha256(data)}"
    answer = empty("POST", path, data, chunked=chunked)
    assert answer.status == 201
    assert answer.headers["Location"] == f"/v2/app/blobs/{sha256(data)}"
    assert empty("GET", answer.headers["Location"]).body == data


def begin(client: Client) -> str:
    answer = client("POST", "/v2/app/blobs/uploads/")
    assert (answer.status, answer.headers["Range"]) == (202, "0-0")
    return str(answer.headers["Location"])


def test_a_blob_arrives_in_chunks(empty: Client) -> None:
    data = b"0123456789" * 10
    where = begin(empty)
    first = empty("PATCH", where, data[:60], Content_Range="0-59")
    assert (first.status, first.headers["Range"]) == (202, "0-59")
    status = empty("GET", where)
    assert (status.status, status.headers["Range"]) == (204, "0-59")
    again = empty("PATCH", where, data[:60], Content_Range="0-59")
    assert (again.status, again.code) == (416, "BLOB_UPLOAD_INVALID")
    assert empty("PATCH", where, data[60:80], chunked=True).headers["Range"] == "0-79"
    last = empty("PUT", f"{where}?digest={sha256(data)}", data[80:], Content_Range="80-99")
    assert last.status == 201
    assert empty("GET", f"/v2/app/blobs/{sha256(data)}").body == data
    assert empty("GET", where).code == "BLOB_UPLOAD_UNKNOWN"


def test_a_broken_chunk_continues_at_its_last_byte(empty: Client) -> None:
    where = begin(empty)
    request = f"PATCH {where} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345"
    empty.raw(request.encode())
    assert empty("GET", where).headers["Range"] == "0-4"
    empty("PATCH", where, b"67890", Content_Range="5-9")
    assert empty("PUT", f"{where}?digest={sha256(b'1234567890')}").status == 201


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_wrong_digest_discards_the_upload(empty: Client, algorithm: str) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, b'other').hexdigest()}"
    where = begin(empty)
    answer = empty("PUT", f"{where}?digest={digest}", b"data")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert empty("GET", where).code == "BLOB_UPLOAD_UNKNOWN"
    assert empty("HEAD", f"/v2/app/blobs/{digest}").status == 404


def test_a_blob_may_have_another_digest_algorithm(empty: Client) -> None:
    digest = f"sha512:{hashlib.sha512(b'data').hexdigest()}"
    assert empty.push_blob(b"data", digest).status == 201
    assert empty("GET", f"/v2/app/blobs/{digest}").body == b"data"


def test_an_upload_can_be_cancelled(empty: Client) -> None:
    where = begin(empty)
    assert empty("DELETE", where).status == 204
    assert empty("PATCH", where, b"data").code == "BLOB_UPLOAD_UNKNOWN"


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("5-1", 400, "BLOB_UPLOAD_INVALID"),
        ("junk", 400, "BLOB_UPLOAD_INVALID"),
        ("1-4", 416, "BLOB_UPLOAD_INVALID"),
        ("0-9", 400, "SIZE_INVALID"),
    ],
)
def test_a_wrong_range_is_refused(empty: Client, text: str, status: int, code: str) -> None:
    answer = empty("PATCH", begin(empty), b"data", Content_Range=text)
    assert (answer.status, answer.code) == (status, code)


def test_an_existing_blob_is_mounted_from_any_repository(empty: Client) -> None:
    digest = sha256(b"data")
    empty.push_blob(b"data", digest, "one")
    mounted = empty("POST", f"/v2/two/blobs/uploads/?mount={digest}&from=one")
    assert (mounted.status, mounted.headers["Location"]) == (201, f"/v2/two/blobs/{digest}")
    missing = empty("POST", f"/v2/two/blobs/uploads/?mount=sha256:{'0' * 64}&from=one")
    assert missing.status == 202


def test_the_oldest_of_too_many_uploads_is_discarded(
    empty: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tarkit.serving.uploads._MOST_OPEN", 2)
    first, second = begin(empty), begin(empty)
    assert empty("GET", first).status == 204
    third = begin(empty)
    assert [empty("GET", where).status for where in (first, second, third)] == [204, 404, 204]


def test_an_upload_that_ended_meanwhile_is_unknown(tmp_path: Path) -> None:
    with Directory.open(tmp_path) as root, BlobWriter(root) as blobs, Uploads(blobs) as uploads:
        upload = uploads.begin()
        uploads.end(upload)
        for act in (
            lambda: upload.append(io.BytesIO(b"data")),
            lambda: upload.finish(digest_of(b"data")),
            lambda: uploads.find(upload.id),
        ):
            with pytest.raises(Problem) as caught:
                act()
            assert caught.value.code == "BLOB_UPLOAD_UNKNOWN"


def test_blobs_without_a_manifest_disappear(tmp_path: Path) -> None:
    with RegistryServer.open(f"oci:{tmp_path / 'layout'}", writable=True) as server:
        client = Client(server.address, [])
        client.push_blob(b"data", sha256(b"data"))
        begin(client)
        assert leftovers(tmp_path / "layout")
    assert sorted(read_files(tmp_path / "layout")) == ["index.json", "oci-layout"]
    assert leftovers(tmp_path / "layout") == []


def test_a_manifest_needs_its_blobs(empty: Client, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(ONE)
    data = layout.files[f"blobs/sha256/{image['digest'][7:]}"]
    empty.push_blob(ONE.config, ONE.digest)
    answer = empty.put("1", data, OCI_MANIFEST)
    assert (answer.status, answer.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert json.loads(data)["layers"][0]["digest"] in answer.body.decode()
    visible = [name for name in read_files(tmp_path / "layout") if not name.startswith(".")]
    assert sorted(visible) == ["index.json", "oci-layout"]


def test_a_manifest_must_state_the_sizes_of_its_blobs(empty: Client) -> None:
    config = b"{}"
    empty.push_blob(config, sha256(config))
    descriptor = {"mediaType": OCI_CONFIG, "digest": sha256(config), "size": 3}
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": descriptor, "layers": []}
    assert empty.put("1", dump(manifest), OCI_MANIFEST).code == "MANIFEST_INVALID"


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"", OCI_MANIFEST),
        (b"{", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b"{}", OCI_MANIFEST),
        (b"{}", ""),
        (b'{"schemaVersion": 2, "mediaType": "text/html"}', "text/html"),
        (b'{"schemaVersion": 2, "manifests": []}', OCI_MANIFEST),
        (b'{"schemaVersion": 2, "manifests": [{"digest": "x"}]}', OCI_INDEX),
        (b'{"schemaVersion": 1}', ""),
        (b"[" * 100_000, OCI_INDEX),
    ],
)
def test_an_invalid_manifest_is_refused(empty: Client, data: bytes, media_type: str) -> None:
    answer = empty.put("1", data, media_type)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    assert empty("GET", "/v2/_catalog").document == {"repositories": []}


def test_a_manifest_has_a_largest_size(empty: Client) -> None:
    answer = empty.put("1", b" " * ((4 << 20) + 1), OCI_MANIFEST)
    assert (answer.status, answer.code) == (413, "SIZE_INVALID")


def test_a_manifest_is_checked_against_its_digest(empty: Client) -> None:
    data = dump({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    assert empty.put(f"sha256:{'0' * 64}", data, OCI_INDEX).code == "DIGEST_INVALID"
    assert empty.put(sha256(data), data, OCI_INDEX).status == 201
    assert empty("GET", f"/v2/app/manifests/{sha256(data)}").body == data


def test_foreign_layers_need_not_be_pushed(empty: Client) -> None:
    layout = Layout()
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    image = layout.image(
        make_image("one"), pack=None, layer_type=kind, layer_fields=[{"urls": ["https://x/"]}]
    )
    data = layout.files[f"blobs/sha256/{image['digest'][7:]}"]
    config = json.loads(data)["config"]["digest"]
    empty.push_blob(layout.files[f"blobs/sha256/{config[7:]}"], config)
    assert empty.put("1", data, OCI_MANIFEST).status == 201


def test_the_images_of_an_index_are_no_entries_of_their_own(empty: Client, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    document = json.loads(layout.files[f"blobs/sha256/{index['digest'][7:]}"])
    for child in document["manifests"]:
        push(empty, layout, child, child["digest"])
    assert names_in(check_layout(read_files(tmp_path / "layout"))) == [None, None]
    data = layout.files[f"blobs/sha256/{index['digest'][7:]}"]
    assert empty.put("1", data, OCI_INDEX).status == 201
    assert names_in(check_layout(read_files(tmp_path / "layout"))) == ["app:1"]
    assert verify(f"oci:{tmp_path / 'layout'}").ok


def test_an_index_needs_its_manifests(empty: Client) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    data = layout.files[f"blobs/sha256/{index['digest'][7:]}"]
    assert empty.put("1", data, OCI_INDEX).code == "MANIFEST_BLOB_UNKNOWN"


def test_a_tag_moves(empty: Client, tmp_path: Path) -> None:
    layout = Layout()
    for image, tag in ((ONE, "1"), (ONE, "other"), (TWO, "1")):
        push(empty, layout, layout.image(image), tag)
    index = check_layout(read_files(tmp_path / "layout"))
    assert names_in(index) == ["app:1", "app:other"]
    assert index["manifests"][0]["digest"] == layout.image(TWO)["digest"]


def test_a_push_keeps_the_rest_of_the_index(serve: Serve, tmp_path: Path) -> None:
    layout = Layout()
    entries = [
        named(layout.image(ONE), "1", "docker.io/library/app:1"),
        {"mediaType": OCI_LAYER, "digest": "md5:00", "size": 1},
        named(layout.image(ONE), "keep"),
    ]
    write_files(tmp_path / "layout", layout.finish(*entries))
    client = serve(f"oci:{tmp_path / 'layout'}", writable=True)
    other = Layout()
    image = other.image(TWO)
    push(client, other, image, "1")
    found = check_layout(read_files(tmp_path / "layout"))["manifests"]
    assert found == [named(image, "app:1"), *entries[1:]]


def test_a_flat_index_becomes_an_image_of_the_list(serve: Serve, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    document = json.loads(layout.files[f"blobs/sha256/{index['digest'][7:]}"])
    files = layout.finish(*document["manifests"])
    flat = sha256(files["index.json"])
    reader = serve(write_files(tmp_path / "flat", files))
    assert sha256(reader("GET", f"/v2/flat/manifests/{flat}").body) == flat
    client = serve(write_files(tmp_path / "layout", files), writable=True)
    assert sha256(client("GET", "/v2/layout/manifests/latest").body) == flat
    other = Layout()
    push(client, other, other.image(ONE), "1")
    assert sha256(client("GET", f"/v2/layout/manifests/{flat}").body) == flat
    assert verify(f"oci:{tmp_path / 'layout'}").ok


def test_a_subject_is_confirmed_and_listed(empty: Client) -> None:
    layout = Layout()
    image = layout.image(ONE)
    push(empty, layout, image, "1")
    signature = layout.image(TWO, subject=image, artifactType="application/vnd.test")
    data = layout.files[f"blobs/sha256/{signature['digest'][7:]}"]
    document = json.loads(data)
    for blob in (document["config"], *document["layers"]):
        empty.push_blob(layout.files[f"blobs/sha256/{blob['digest'][7:]}"], blob["digest"])
    answer = empty.put(signature["digest"], data, OCI_MANIFEST)
    assert answer.headers["OCI-Subject"] == image["digest"]
    (entry,) = empty("GET", f"/v2/app/referrers/{image['digest']}").document["manifests"]
    assert (entry["digest"], entry["artifactType"]) == (signature["digest"], "application/vnd.test")


def test_deleting_a_tag_keeps_the_image(empty: Client, tmp_path: Path) -> None:
    layout = Layout()
    image = layout.image(ONE)
    push(empty, layout, image, "1")
    assert empty("DELETE", "/v2/app/manifests/1").status == 202
    assert empty("GET", "/v2/app/manifests/1").status == 404
    assert empty("GET", f"/v2/app/manifests/{image['digest']}").status == 200
    assert empty("DELETE", "/v2/app/manifests/1").code == "MANIFEST_UNKNOWN"


def test_deleting_an_image_removes_its_tags_and_then_its_blobs(empty: Client) -> None:
    layout = Layout()
    image = layout.image(ONE)
    manifest = push(empty, layout, image, "1")
    push(empty, layout, image, "2")
    blob = manifest["layers"][-1]["digest"]
    needed = empty("DELETE", f"/v2/app/blobs/{blob}")
    assert (needed.status, needed.code) == (403, "DENIED")
    assert empty("DELETE", f"/v2/app/manifests/{image['digest']}").status == 202
    assert empty("GET", f"/v2/app/manifests/{image['digest']}").status == 404
    assert empty("GET", "/v2/_catalog").document == {"repositories": []}
    assert empty("DELETE", f"/v2/app/blobs/{blob}").status == 202
    assert empty("HEAD", f"/v2/app/blobs/{blob}").status == 404
    assert empty("DELETE", f"/v2/app/blobs/{blob}").code == "BLOB_UNKNOWN"


def test_deleting_an_image_keeps_it_in_other_repositories(empty: Client) -> None:
    layout = Layout()
    image = layout.image(ONE)
    for name in ("one", "two"):
        push(empty, layout, image, "1", name)
    empty("DELETE", f"/v2/one/manifests/{image['digest']}")
    assert empty("GET", "/v2/_catalog").document == {"repositories": ["two"]}
    assert empty("GET", "/v2/two/manifests/1").status == 200


def test_a_part_of_an_index_cannot_be_deleted(serve: Serve, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    document = json.loads(layout.files[f"blobs/sha256/{index['digest'][7:]}"])
    write_files(tmp_path / "layout", layout.finish(named(index, "app:1")))
    client = serve(tmp_path / "layout", writable=True)
    child = document["manifests"][0]["digest"]
    assert client("DELETE", f"/v2/app/manifests/{child}").code == "DENIED"
    assert client("GET", f"/v2/app/manifests/{child}").status == 200


def test_name_limits_pushes_to_its_repository(serve: Serve, tmp_path: Path) -> None:
    client = serve(f"oci:{tmp_path / 'layout'}", writable=True, name="app")
    layout = Layout()
    push(client, layout, layout.image(ONE), "1")
    assert names_in(check_layout(read_files(tmp_path / "layout"))) == ["1"]
    answer = client("POST", "/v2/other/blobs/uploads/")
    assert (answer.status, answer.code) == (403, "DENIED")


def test_only_a_layout_can_be_written(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    for location in (f"docker-archive:{archive}", str(archive), f"oci-archive:{archive}"):
        with pytest.raises(UsageError, match="--writable needs a layout"):
            RegistryServer.open(location, writable=True)
    with pytest.raises(RefusedError, match="not an OCI layout"):
        RegistryServer.open(f"oci:{tmp_path}", writable=True)
    assert leftovers(tmp_path) == []


def test_two_servers_share_a_layout(serve: Serve, tmp_path: Path) -> None:
    clients = [serve(f"oci:{tmp_path / 'layout'}", writable=True) for _ in range(2)]
    for number, client in enumerate(clients):
        layout = Layout()
        push(client, layout, layout.image(make_image(str(number))), str(number))
    for client in clients:
        assert client("GET", "/v2/app/tags/list").document["tags"] == ["0", "1"]
    with open_reader(f"oci:{tmp_path / 'layout'}") as reader:
        assert [entry.names for entry in reader.images()] == [("app:0",), ("app:1",)]


def test_many_clients_push_at_once(empty: Client, tmp_path: Path) -> None:
    def push_one(number: int) -> None:
        layout = Layout()
        push(empty, layout, layout.image(make_image("shared", str(number))), str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(push_one, range(16)))
    assert set(names_in(check_layout(read_files(tmp_path / "layout")))) == {
        f"app:{number}" for number in range(16)
    }
    assert verify(f"oci:{tmp_path / 'layout'}").ok


class FullFile(io.BytesIO):
    def write(self, data: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_reported(empty: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_blob = BlobWriter.begin

    def begin_full(blobs: BlobWriter) -> PendingFile:
        pending = begin_blob(blobs)
        pending.file.close()
        pending.file = FullFile()
        return pending

    monkeypatch.setattr(BlobWriter, "begin", begin_full)
    answer = empty.push_blob(b"data", sha256(b"data"))
    assert (answer.status, answer.code) == (507, "UNKNOWN")
    assert "no space left" in answer.body.decode()
    assert empty("HEAD", f"/v2/app/blobs/{sha256(b'data')}").status == 404


def test_a_layout_without_links_out_is_required(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", layout_of(ONE, "app:1"))
    (tmp_path / "layout" / "blobs" / "sha512").symlink_to(tmp_path)
    with pytest.raises(RefusedError):
        RegistryServer.open(f"oci:{tmp_path / 'layout'}", writable=True)
