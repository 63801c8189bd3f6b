"""Test reading and storing single blobs and manifests."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from tarkit.errors import (
    CannotModifyError,
    DigestMismatchError,
    MalformedError,
    NotFoundError,
    RefusedError,
    UnsupportedError,
)
from tarkit.image.digest import Digest
from tarkit.managing.content import open_blob, put_blob, put_manifest
from tarkit.transports.location import open_source
from tarkit.transports.registry.catalog import list_repositories
from tarkit.verifying.runner import verify
from tests.builders import (
    Layout,
    blob,
    copy,
    docker_archive,
    dump,
    layout_of,
    make_image,
    multi_platform,
    read_files,
    sha256,
    squeeze,
    tar,
    write_files,
)
from tests.transports.registry.fake_registry import FakeRegistry

ONE, TWO = make_image("base", "one"), make_image("base", "two")


def read(location: str, digest: str) -> bytes:
    with open_blob(location, digest) as stream:
        return stream.read()


@pytest.mark.parametrize("transport", ["oci", "oci-archive", "docker-archive", "dir"])
def test_a_blob_is_read_from_any_container(tmp_path: Path, transport: str) -> None:
    write_files(tmp_path / "in", layout_of(ONE, "app:1"))
    copy(f"oci:{tmp_path / 'in'}", where := f"{transport}:{tmp_path / 'out'}", "app:1")
    assert read(where, ONE.digest) == ONE.config
    with pytest.raises(NotFoundError, match="no blob sha256:0000"):
        read(where, f"sha256:{'0' * 64}")


def test_the_image_that_has_the_blob_is_found(tmp_path: Path) -> None:
    save = docker_archive(tmp_path / "s.tar", (ONE, ["one:1"]), (TWO, ["two:1"]))
    assert read(f"docker-archive:{save}", TWO.digest) == TWO.config
    assert read(str(save), TWO.diff_ids[1]) == TWO.layers[1]
    with pytest.raises(NotFoundError):
        read(f"docker-archive:{save}:one:1", TWO.diff_ids[1])


def test_altered_content_fails(tmp_path: Path) -> None:
    files = layout_of(ONE)
    files[f"blobs/sha256/{ONE.digest[7:]}"] = b"x"
    write_files(tmp_path / "in", files)
    with pytest.raises(DigestMismatchError):
        read(f"oci:{tmp_path / 'in'}", ONE.digest)


@pytest.mark.parametrize("remote", [False, True])
def test_an_image_is_made_of_single_parts(
    tmp_path: Path, registry: FakeRegistry, remote: bool
) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    where = f"docker://{registry.address}/app" if remote else f"oci:{tmp_path / 'new'}"
    documents = []
    for name, data in layout.files.items():
        if b'"schemaVersion"' in data:
            documents.append(data)
            continue
        stored = put_blob(where, io.BytesIO(data))
        assert (blob_name := f"blobs/sha256/{stored.digest.hex}") == name, blob_name
        assert read(where, str(stored.digest)) == data
    top = blob(layout.files, index)
    for data in documents[:-1]:
        at = f"@{sha256(data)}" if remote else f":{sha256(data)[7:12]}"
        assert str(put_manifest(where + at, data).digest) == sha256(data)
    assert documents[-1] == top
    put_manifest(f"{where}:app", top)
    with open_source(f"{where}:app") as source:
        assert source.manifest().data == top
    assert not verify(f"{where}:app").findings


def test_a_manifest_without_its_content_is_refused(tmp_path: Path) -> None:
    layout = Layout()
    one = layout.image(ONE)
    data = blob(layout.files, one)
    where = f"oci:{tmp_path / 'new'}"
    put_blob(where, io.BytesIO(ONE.config))
    before = read_files(tmp_path)
    with pytest.raises(RefusedError, match=f"missing content: {sha256(squeeze(ONE.layers[0]))}"):
        put_manifest(f"{where}:x", data)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedError),
        (b"[]", MalformedError),
        (b"{}", MalformedError),
        (dump({"schemaVersion": 2, "mediaType": "text/plain"}), UnsupportedError),
    ],
)
def test_invalid_manifests_are_refused(tmp_path: Path, data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        put_manifest(f"oci:{tmp_path / 'new'}:x", data)
    assert not read_files(tmp_path)


def test_a_digest_names_only_its_own_content(registry: FakeRegistry) -> None:
    empty = dump({"schemaVersion": 2, "manifests": []})
    with pytest.raises(CannotModifyError):
        put_manifest(f"docker://{registry.address}/app@sha256:{'0' * 64}", empty)
    assert not registry.requests("PUT")


@pytest.mark.parametrize("location", ["docker-archive:x.tar", "dir:x", "oci-archive:x.tar"])
def test_other_containers_take_no_single_blobs(location: str) -> None:
    with pytest.raises(UnsupportedError, match="cannot store blobs in"):
        put_blob(location, io.BytesIO(b"x"))


def test_a_foreign_directory_is_no_layout(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(RefusedError, match="not an OCI layout"):
        put_blob(f"oci:{tmp_path}", io.BytesIO(b"x"))
    assert read_files(tmp_path) == {"file": b"x"}


def test_a_blob_of_a_registry_is_named_by_its_digest(registry: FakeRegistry) -> None:
    where = f"docker://{registry.address}/app"
    stored = put_blob(where, io.BytesIO(b"x" * 3_000_000))
    assert registry.blobs["app"] == {str(stored.digest): b"x" * 3_000_000}
    assert stored.digest == Digest.of(b"x" * 3_000_000)
    with pytest.raises(NotFoundError):
        read(where, sha256(b"other"))


def test_a_catalog_is_read_page_by_page(registry: FakeRegistry) -> None:
    for name in ("a", "b/c", "d", "e"):
        registry.add_manifest(name, "1", b"{}", "x")
    registry.page = 2
    assert list(list_repositories(registry.address)) == ["a", "b/c", "d", "e"]
    assert len(registry.requests("GET", "_catalog")) == 2


def test_a_registry_without_a_catalog_says_so(registry: FakeRegistry) -> None:
    registry.fail("GET", "_catalog", lambda exchange: exchange.refuse(404, "NOT_FOUND"))
    with pytest.raises(UnsupportedError, match="does not list its repositories"):
        list(list_repositories(registry.address))


def test_a_blob_makes_a_new_layout_and_is_found_without_an_image(tmp_path: Path) -> None:
    put_blob(f"oci:{tmp_path / 'new'}", io.BytesIO(b"x"))
    files = read_files(tmp_path / "new")
    assert json.loads(files["index.json"])["manifests"] == []
    (tmp_path / "new.tar").write_bytes(tar(files | layout_of(ONE)))
    assert read(f"oci-archive:{tmp_path / 'new.tar'}", sha256(b"x")) == b"x"
