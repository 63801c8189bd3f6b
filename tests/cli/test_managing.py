"""Test the commands that change images in place: output, JSON and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import Layout, layout_of, make_image, named, write_files
from tests.cli.conftest import ONE, TWO, Tarkit
from tests.managing.test_deletion import list_of, signature
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import FakeRegistry, fake_registry

ARM = make_image("base", "arm", architecture="arm64")


@pytest.fixture(autouse=True)
def nobody_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as server:
        yield server


@pytest.fixture
def layout(tmp_path: Path) -> str:
    """Return the location of a layout with the images ``one`` and ``two``."""
    content = Layout()
    files = content.finish(named(content.image(ONE), "one"), named(content.image(TWO), "two"))
    return f"oci:{write_files(tmp_path / 'in', files)}"


def test_tag(tarkit: Tarkit, layout: str) -> None:
    digest = tarkit("digest", f"{layout}:one").out
    result = tarkit("tag", f"{layout}:one", "a", "b")
    assert (result.code, result.out, result.err) == (0, digest, "")
    document = tarkit("tag", "--json", f"{layout}:one", "c").document
    assert document == {"digest": digest.strip(), "names": ["c"]}
    assert tarkit("tag", "-q", f"{layout}:one", "d").out == ""
    names = [image["name"] for image in tarkit("list", "--json", layout).document["images"]]
    assert names == ["one", "two", "a", "b", "c", "d"]
    assert tarkit("tag", f"{layout}:none", "a").code == 3
    assert tarkit("tag", f"{layout}:one").code == 2
    assert tarkit("tag", f"{layout}:one", "").code == 2


def test_delete(tarkit: Tarkit, layout: str) -> None:
    digest = tarkit("digest", f"{layout}:one").out.strip()
    result = tarkit("delete", f"{layout}:one")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith(f"tarkit: deleted {digest}; removed 3 blobs, ")
    assert tarkit("delete", f"{layout}:one").code == 3
    document = tarkit("delete", "--json", f"{layout}:two").document
    assert document.keys() == {"digest", "blobs", "bytes"}
    assert document["blobs"] == 4


def test_delete_where_it_is_not_allowed(tarkit: Tarkit, registry: FakeRegistry) -> None:
    content = Layout()
    add_layout(registry, "app", "1", content.files, content.image(ONE))
    registry.deletes = False
    result = tarkit("delete", f"docker://{registry.address}/app:1")
    assert result.code == 6
    assert "does not allow deletion (405): UNSUPPORTED" in result.err
    registry.deletes = True
    result = tarkit("delete", f"docker://{registry.address}/app:1")
    assert (result.code, "removed" in result.err) == (0, False)


def test_index(tarkit: Tarkit, layout: str, tmp_path: Path) -> None:
    arm = f"oci:{write_files(tmp_path / 'arm', layout_of(ARM, 'arm'))}:arm"
    result = tarkit("index", "create", f"{layout}:all", f"{layout}:one", arm)
    assert result.code == 0
    assert tarkit("digest", f"{layout}:all").out == result.out
    document = tarkit("index", "add", "--json", f"{layout}:all", f"{layout}:two").document
    assert document.keys() == {"digest", "media_type", "bytes", "notes"}
    platforms = tarkit("digest", "--all", f"{layout}:all").out.split()[1::2]
    assert sorted(platforms) == ["linux/amd64", "linux/arm64"]
    assert tarkit("index", "remove", f"{layout}:all", "linux/arm64").code == 0
    assert tarkit("index", "remove", f"{layout}:all", "linux/arm64").code == 3
    assert tarkit("index", "remove", f"{layout}:all", "linux/amd64").code == 6
    assert tarkit("index", "create", f"{layout}:x", f"{layout}:one", f"{layout}:two").code == 2


@pytest.mark.parametrize(
    "arguments", [("index",), ("index", "nonsense"), ("blob",), ("index", "add")]
)
def test_commands_of_commands_fail_with_one_line(
    tarkit: Tarkit, arguments: tuple[str, ...]
) -> None:
    result = tarkit(*arguments)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)


def test_annotate(tarkit: Tarkit, layout: str) -> None:
    result = tarkit("annotate", f"{layout}:one", "a=b=c", "empty=")
    assert tarkit("digest", f"{layout}:one").out == result.out
    manifest = json.loads(tarkit("manifest", "get", f"{layout}:one").out)
    assert manifest["annotations"] == {"a": "b=c", "empty": ""}
    tarkit("annotate", "--json", "--remove", "a", f"{layout}:one")
    manifest = json.loads(tarkit("manifest", "get", f"{layout}:one").out)
    assert manifest["annotations"] == {"empty": ""}
    assert tarkit("annotate", f"{layout}:one", "without a mark").code == 2
    assert tarkit("annotate", f"{layout}:one").code == 2


def test_parts(tarkit: Tarkit, layout: str, tmp_path: Path) -> None:
    new, file = f"oci:{tmp_path / 'new'}", tmp_path / "file"
    tarkit("manifest", "get", f"{layout}:one", "--output", tmp_path / "manifest")
    manifest = json.loads((tmp_path / "manifest").read_bytes())
    for part in (manifest["config"], *manifest["layers"]):
        assert tarkit("blob", "get", layout, part["digest"], "-o", file).code == 0
        document = tarkit("blob", "put", "--json", new, file).document
        assert document == {"digest": part["digest"], "size": part["size"]}
    result = tarkit("manifest", "put", f"{new}:app", tmp_path / "manifest")
    assert result.out == tarkit("digest", f"{layout}:one").out
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    put = ("manifest", "put", "--media-type", media_type, f"{new}:app", tmp_path / "manifest")
    result = tarkit(*put)
    assert result.code == 4  # the file states another type
    assert tarkit("blob", "get", layout, f"sha256:{'0' * 64}").code == 3
    assert tarkit("blob", "get", layout, "sha256:short").code == 2
    assert tarkit("blob", "put", new, tmp_path / "none").code == 3


def test_a_wrong_blob_leaves_no_file(tarkit: Tarkit, tmp_path: Path) -> None:
    files = layout_of(ONE)
    files[f"blobs/sha256/{ONE.digest[7:]}"] = b"altered"
    where = write_files(tmp_path / "in", files)
    result = tarkit("blob", "get", where, ONE.digest, "-o", tmp_path / "out")
    assert (result.code, (tmp_path / "out").exists()) == (4, False)


def test_prune(tarkit: Tarkit, tmp_path: Path) -> None:
    content = Layout()
    stray = content.blob(b"stray", "text/plain")
    where = write_files(tmp_path / "in", content.finish())
    document = tarkit("prune", "--dry-run", "--json", where).document
    blobs = [{"digest": stray["digest"], "size": 5}]
    assert document == {"removed": False, "bytes": 5, "blobs": blobs}
    result = tarkit("prune", where)
    assert (result.out, result.err) == (f"{stray['digest']}\n", "tarkit: removed 1 blob, 5 B\n")
    assert tarkit("prune", f"dir:{where}").code == 6
    assert tarkit("prune", tmp_path / "none").code == 3


def test_referrers(tarkit: Tarkit, tmp_path: Path) -> None:
    content = Layout()
    one = content.image(ONE)
    signed = signature(content, one)
    files = content.finish(named(one, "app"), list_of(content, one, signed))
    where = f"oci:{write_files(tmp_path / 'in', files)}"
    document = tarkit("referrers", "--json", where).document
    assert document["subject"] == one["digest"]
    assert [entry["digest"] for entry in document["referrers"]] == [signed["digest"]]
    assert tarkit("referrers", "--artifact-type", "other", where).out == ""
    result = tarkit("copy", "--referrers", where, f"oci:{tmp_path / 'out'}:app")
    assert (result.code, "copied 1 referrer\n" in result.err) == (0, True)
    assert signed["digest"] in tarkit("referrers", f"oci:{tmp_path / 'out'}").out
    result = tarkit("copy", "--referrers", where, f"dir:{tmp_path / 'dir'}")
    assert (result.code, (tmp_path / "dir").exists()) == (6, False)
    result = tarkit("copy", "--referrers", where, f"docker-archive:{tmp_path / 'a'}:x")
    assert (result.code, (tmp_path / "a").exists()) == (6, False)


def test_catalog(tarkit: Tarkit, registry: FakeRegistry) -> None:
    for name in ("a", "b/c"):
        registry.add_manifest(name, "1", b"{}", "x")
    assert tarkit("catalog", registry.address).out == "a\nb/c\n"
    lines = tarkit("catalog", "--json", f"docker://{registry.address}").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [
        f"{registry.address}/a",
        f"{registry.address}/b/c",
    ]
