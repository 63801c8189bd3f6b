"""Read docker archives of all formats and versions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tarkit.errors import (
    DigestMismatchError,
    LimitExceededError,
    MalformedError,
    MemberNotFoundError,
    TarkitError,
    TruncatedError,
    UnsafePathError,
    VerificationError,
)
from tarkit.image import media_types as mt
from tarkit.image.manifest import Manifest
from tarkit.image.v1 import config_from_v1
from tarkit.selection.select import read_config, select_image
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.verifying.runner import verify
from tests.builders import (
    CONTAINERD_NAME,
    REF_NAME,
    Doc,
    Image,
    Layout,
    Link,
    classic_files,
    copy,
    digest_of,
    dump,
    make_image,
    sha256,
    squeeze,
    tar,
)

ONE = make_image("base", "one")
Members = dict[str, bytes | Link]


def opened(members: Members | bytes) -> DockerArchiveReader:
    data = members if isinstance(members, bytes) else tar(members)
    return DockerArchiveReader.from_stream(io.BytesIO(data))


def manifest_of(reader: DockerArchiveReader, name: str | None = None) -> Manifest:
    return Manifest.parse(reader.source(name).manifest())


def check(reader: DockerArchiveReader, image: Image, name: str | None = None) -> Manifest:
    """Return the manifest of the image after checking its config and layers."""
    source = reader.source(name)
    manifest = Manifest.parse(select_image(source))
    assert read_config(source, manifest) == image.config
    for layer in manifest.layers:
        with source.open_blob(layer) as stream:
            assert layer.digest.matches(stream.read())
    return manifest


def with_item(members: Members, **changes: Any) -> Members:
    data = members["manifest.json"]
    assert isinstance(data, bytes)
    (item,) = json.loads(data)
    return members | {"manifest.json": dump([item | changes])}


def one(**changes: Any) -> Members:
    return with_item(classic_files((ONE, ["one:1"])), **changes)


def test_the_digests_of_plain_layers_are_their_diff_ids() -> None:
    with opened(one()) as reader:
        manifest = check(reader, ONE)
    assert manifest.media_type == mt.DOCKER_MANIFEST
    assert [str(layer.digest) for layer in manifest.layers] == ONE.diff_ids
    assert [layer.size for layer in manifest.layers] == [len(layer) for layer in ONE.layers]
    assert {layer.media_type for layer in manifest.layers} == {mt.DOCKER_LAYER}


def test_the_manifest_is_deterministic() -> None:
    with opened(one()) as first, opened(one()) as second:
        assert first.source().manifest() == second.source().manifest()


def test_the_items_are_unchanged() -> None:
    with opened(one(RepoTags=["a:1", "b:2"])) as reader:
        assert reader.manifest[0].repo_tags == ("a:1", "b:2")
        assert reader.images()[0].names == ("a:1", "b:2")
        assert reader.source("b:2").names == ("b:2",)


@pytest.mark.parametrize("prefix", ["./", "x/../", "/./"])
def test_names_compare_after_cleaning(prefix: str) -> None:
    members = {prefix.lstrip("/") + name: data for name, data in one().items()}
    with opened(members) as reader:
        check(reader, ONE)
    paths = [f"./y/../{sha256(layer)[7:]}/layer.tar" for layer in ONE.layers]
    with opened(one(Layers=paths)) as reader:
        check(reader, ONE)


def test_layers_named_by_digest_like_cranes() -> None:
    packed = [squeeze(layer) for layer in ONE.layers]
    paths = [f"{sha256(data)[7:]}.tar.gz" for data in packed]
    config = ONE.digest
    members: Members = dict(zip(paths, packed, strict=True))
    members |= {
        config: ONE.config,
        "manifest.json": dump([{"Config": config, "RepoTags": None, "Layers": paths}]),
    }
    with opened(members) as reader:
        manifest = check(reader, ONE)
    assert [str(layer.digest) for layer in manifest.layers] == [sha256(data) for data in packed]
    assert {layer.media_type for layer in manifest.layers} == {mt.DOCKER_LAYER_GZIP}


@pytest.mark.parametrize(
    ("pack", "media_type"),
    [
        (squeeze, mt.DOCKER_LAYER_GZIP),
        (zstandard.ZstdCompressor().compress, mt.DOCKER_LAYER_ZSTD),
    ],
)
def test_compressed_layers_under_any_name(pack: Any, media_type: str) -> None:
    packed = [pack(layer) for layer in ONE.layers]
    members = one() | {
        f"{sha256(layer)[7:]}/layer.tar": data
        for layer, data in zip(ONE.layers, packed, strict=True)
    }
    with opened(members) as reader:
        manifest = check(reader, ONE)
    assert [str(layer.digest) for layer in manifest.layers] == [sha256(data) for data in packed]
    assert {layer.media_type for layer in manifest.layers} == {media_type}


@pytest.mark.parametrize("name", ["{}.tar.gz", "/{}.tar.gz", "blobs/sha256/{}", "{}.tar", "{}"])
def test_a_compressed_layer_named_by_its_diff_id(tmp_path: Path, name: str) -> None:
    paths = [name.format(diff_id[7:]) for diff_id in ONE.diff_ids]
    packed = [squeeze(layer) for layer in ONE.layers]
    stored: Members = dict(zip(paths, packed, strict=True))
    members = one(Layers=paths) | stored
    with opened(members) as reader:
        manifest = check(reader, ONE)
    assert [str(layer.digest) for layer in manifest.layers] == [sha256(data) for data in packed]
    (tmp_path / "a.tar").write_bytes(tar(members))
    assert verify(str(tmp_path / "a.tar")).ok


def rooted(members: Members, *, listed: str, stored: str) -> Members:
    """*members* with those prefixes before the paths in ``manifest.json``, and before their names."""
    (item,) = json.loads(bytes(members["manifest.json"]))  # type: ignore[arg-type]
    paths = {"Config": listed + item["Config"], "Layers": [listed + p for p in item["Layers"]]}
    members = with_item(members, **paths)
    return {stored + name: data for name, data in members.items()}


@pytest.mark.parametrize("listed", ["/", "//", "/./", "./", "/x/../"])
@pytest.mark.parametrize("stored", ["", "/", "//", "./"])
def test_a_leading_slash_is_the_root_of_the_archive(
    tmp_path: Path, listed: str, stored: str
) -> None:
    members = rooted(one(), listed=listed, stored=stored)
    with opened(members) as reader:
        check(reader, ONE)
    (tmp_path / "a.tar").write_bytes(tar(members))
    copy(str(tmp_path / "a.tar"), f"oci:{tmp_path / 'out'}:x")
    assert verify(str(tmp_path / "a.tar")).findings == ()


@pytest.mark.parametrize("prefix", ["", ".\\", "\\", "x\\..\\"])
def test_names_with_backslashes(prefix: str) -> None:
    paths = [f"{prefix}{diff_id[7:]}\\layer.tar" for diff_id in ONE.diff_ids]
    with opened(one(Layers=paths)) as reader:
        check(reader, ONE)
    stored: Members = dict(zip(paths, ONE.layers, strict=True))
    plain = {name: data for name, data in one().items() if not name.endswith("layer.tar")}
    with opened(plain | stored) as reader:
        check(reader, ONE)


def test_a_link_with_an_absolute_target_leads_to_a_member() -> None:
    first, second = (f"{diff_id[7:]}/layer.tar" for diff_id in ONE.diff_ids)
    members = one() | {first: Link("/shared/layer.tar"), "shared/layer.tar": ONE.layers[0]}
    with opened(members) as reader:
        check(reader, ONE)
    members = one() | {second: Link("/shared/layer.tar", hard=True)}
    with opened(members | {"/shared/layer.tar": ONE.layers[1]}) as reader:
        check(reader, ONE)


def test_a_compressed_layer_with_wrong_content() -> None:
    name = f"{ONE.diff_ids[0][7:]}/layer.tar"
    members = one() | {name: squeeze(b"something else" * 50)}
    with opened(members) as reader, pytest.raises(DigestMismatchError, match=r"layer\.tar"):
        reader.source().manifest()


def test_layer_sources_describe_compressed_layers() -> None:
    packed = squeeze(ONE.layers[0])
    source = {"mediaType": mt.OCI_LAYER_GZIP, "size": len(packed), "digest": sha256(packed)}
    members = one(LayerSources={ONE.diff_ids[0]: source}) | {
        f"{ONE.diff_ids[0][7:]}/layer.tar": packed
    }
    with opened(members) as reader:
        first, second = check(reader, ONE).layers
        assert reader.manifest[0].layer_sources[digest_of(ONE.layers[0])].size == len(packed)
    assert (str(first.digest), first.media_type) == (sha256(packed), mt.DOCKER_LAYER_GZIP)
    assert (str(second.digest), second.media_type) == (ONE.diff_ids[1], mt.DOCKER_LAYER)


def test_layer_sources_of_unpacked_layers_are_ignored() -> None:
    """Docker's classic store saves layers uncompressed, with the descriptors they were pulled by."""
    sources = {
        diff_id: {"mediaType": mt.OCI_LAYER_GZIP, "size": 1, "digest": "sha256:" + "0" * 64}
        for diff_id in ONE.diff_ids
    }
    with opened(one(LayerSources=sources)) as reader:
        manifest = check(reader, ONE)
    assert [str(layer.digest) for layer in manifest.layers] == ONE.diff_ids


def test_wrong_layer_sources_are_detected(tmp_path: Path) -> None:
    packed = squeeze(ONE.layers[0])
    source = {"mediaType": mt.OCI_LAYER_GZIP, "size": len(packed), "digest": "sha256:" + "0" * 64}
    members = one(LayerSources={ONE.diff_ids[0]: source}) | {
        f"{ONE.diff_ids[0][7:]}/layer.tar": packed
    }
    (tmp_path / "a.tar").write_bytes(tar(members))
    with pytest.raises(VerificationError):
        copy(f"docker-archive:{tmp_path / 'a.tar'}", f"oci:{tmp_path / 'out'}")


@pytest.mark.parametrize("target", ["../../outside", "/etc/passwd", "layer.tar"])
def test_a_link_out_of_the_archive_or_to_itself(target: str) -> None:
    members = one() | {f"{ONE.diff_ids[0][7:]}/layer.tar": Link(target)}
    with opened(members) as reader, pytest.raises(UnsafePathError):
        reader.source().manifest()


def test_a_dangling_link() -> None:
    members = one() | {f"{ONE.diff_ids[0][7:]}/layer.tar": Link("../gone/layer.tar")}
    with opened(members) as reader, pytest.raises(MemberNotFoundError):
        reader.source().manifest()


def test_a_config_named_by_a_wrong_digest() -> None:
    members = one() | {f"{ONE.digest[7:]}.json": ONE.config + b" "}
    with opened(members) as reader, pytest.raises(DigestMismatchError):
        reader.source()


def test_other_config_names_are_not_verified() -> None:
    with opened(one(Config="any.json") | {"any.json": ONE.config + b" "}) as reader:
        assert str(manifest_of(reader).config.digest) == sha256(ONE.config + b" ")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"Config": "gone.json"}, MemberNotFoundError),
        ({"Config": "../x.json"}, UnsafePathError),
        ({"Layers": ["gone", "gone"]}, TarkitError),
    ],
    ids=str,
)
def test_missing_members(change: Doc, kind: type[TarkitError]) -> None:
    with opened(one(**change)) as reader, pytest.raises(kind):
        reader.source().manifest()


def test_documents_too_large_to_read() -> None:
    with pytest.raises(LimitExceededError):
        opened(one() | {"manifest.json": b"[]" + b" " * (4 << 20)})
    big = one(Config="big.json") | {"big.json": ONE.config + b" " * (4 << 20)}
    with opened(big) as reader, pytest.raises(LimitExceededError):
        reader.source()


def test_conflicting_manifests_are_refused() -> None:
    data = tar(one())
    end = max(index for index, byte in enumerate(data) if byte) // 512 * 512 + 512
    second = tar({"manifest.json": b"[]"})
    with pytest.raises(MalformedError, match=r"two different manifest\.json"):
        opened(data[:end] + second)
    with opened(data[:end] + tar({"manifest.json": bytes(one()["manifest.json"])})) as reader:  # type: ignore[arg-type]
        check(reader, ONE)


def test_an_archive_without_a_manifest() -> None:
    with pytest.raises(MalformedError, match=r"manifest\.json is missing"):
        opened(tar({"file": b""}))
    with pytest.raises(TruncatedError, match=r"ends before manifest\.json"):
        opened(tar({"file": b"x" * 600})[:1536])


class TestDual:
    """Archives that are also OCI layouts."""

    def archive(self, *, full: str = "docker.io/library/one:1", **how: Any) -> tuple[Members, Doc]:
        layout = Layout()
        entry = layout.image(ONE, **how)
        manifest = json.loads(layout.files[f"blobs/sha256/{entry['digest'][7:]}"])
        annotations = {CONTAINERD_NAME: full, REF_NAME: full.rpartition(":")[2]}
        members: Members = dict(layout.finish(entry | {"annotations": annotations}))
        paths = [f"blobs/sha256/{d['digest'][7:]}" for d in manifest["layers"]]
        config = f"blobs/sha256/{ONE.digest[7:]}"
        item = {"Config": config, "RepoTags": ["one:1"], "Layers": paths}
        return members | {"manifest.json": dump([item])}, entry

    @pytest.mark.parametrize("docker", [False, True])
    def test_the_original_manifest_is_used(self, docker: bool) -> None:
        members, entry = self.archive(docker=docker, annotations={"kept": "yes"})
        with opened(members) as reader:
            check(reader, ONE)
            assert reader.source().manifest().digest == digest_of(
                members[f"blobs/sha256/{entry['digest'][7:]}"]  # type: ignore[arg-type]
            )

    def test_it_is_found_in_an_incomplete_nested_index(self) -> None:
        layout = Layout()
        entry = layout.image(ONE)
        absent = {"mediaType": mt.OCI_MANIFEST, "digest": "sha256:" + "0" * 64, "size": 9}
        members, _ = self.archive()
        members |= dict(layout.finish(layout.index(absent, layout.index(absent, entry))))
        with opened(members) as reader:
            assert str(reader.source().manifest().digest) == entry["digest"]

    def test_otherwise_the_classic_half_is_read(self) -> None:
        members, entry = self.archive()
        del members[f"blobs/sha256/{entry['digest'][7:]}"]
        with opened(members) as reader:
            assert check(reader, ONE).media_type == mt.DOCKER_MANIFEST

    def test_shared_nested_indexes_are_walked_once(self) -> None:
        layout = Layout()
        entry: Doc = layout.image(make_image("other"))
        for level in range(6):
            entry = layout.index(*[entry] * 60, n=level)
        members = dict(classic_files((ONE, ["one:1"]))) | dict(layout.finish(entry))
        with opened(members) as reader:
            assert check(reader, ONE).media_type == mt.DOCKER_MANIFEST

    def test_an_altered_manifest_is_an_error(self) -> None:
        members, entry = self.archive()
        name = f"blobs/sha256/{entry['digest'][7:]}"
        data = members[name]
        assert isinstance(data, bytes)
        members[name] = data.replace(b'"size"', b'"sise"', 1)
        with opened(members) as reader, pytest.raises(DigestMismatchError):
            reader.source()


BOTTOM = {"id": "bottom", "created": "2013-01-01T00:00:00Z", "os": "linux"}
TOP = {
    "id": "top",
    "parent": "bottom",
    "created": "2014-01-01T00:00:00Z",
    "architecture": "amd64",
    "os": "linux",
    "config": {"Labels": {"a": "b"}},
}


class TestBeforeDocker110:
    """Archives with ``repositories`` but no ``manifest.json``."""

    def archive(self, **changes: bytes | Link) -> Members:
        return {
            "bottom/VERSION": b"1.0",
            "bottom/json": dump(BOTTOM),
            "bottom/layer.tar": ONE.layers[0],
            "top/VERSION": b"1.0",
            "top/json": dump(TOP),
            "top/layer.tar": ONE.layers[1],
            "repositories": dump({"one": {"1": "top", "2": "top"}, "base": {"x": "bottom"}}),
        } | {name.replace("__", "/"): data for name, data in changes.items()}

    def test_images_names_and_layers(self) -> None:
        with opened(self.archive()) as reader:
            assert [image.names for image in reader.images()] == [("one:1", "one:2"), ("base:x",)]
            source = reader.source("one:2")
            manifest = Manifest.parse(source.manifest())
            assert [str(layer.digest) for layer in manifest.layers] == ONE.diff_ids
            expected = config_from_v1(
                [BOTTOM, TOP], [digest_of(layer) for layer in ONE.layers], where=""
            )
            assert read_config(source, manifest) == expected
            assert len(manifest_of(reader, "base:x").layers) == 1

    @pytest.mark.parametrize("name", ["oci:{}:x", "docker-archive:{}", "dir:{}", "oci-archive:{}"])
    def test_it_copies_everywhere(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "old.tar").write_bytes(tar(self.archive()))
        destination = name.format(tmp_path / "out")
        result = copy(f"docker-archive:{tmp_path / 'old.tar'}:one:1", destination)
        assert result.copied + result.recompressed == 3

    @pytest.mark.parametrize(
        "bottom",
        [
            BOTTOM,
            {"id": "bottom"},
            BOTTOM | {"os": None, "architecture": None, "config": None},
            BOTTOM | {"throwaway": True},
            BOTTOM
            | {"container_config": {"Cmd": ["/bin/sh", "-c", "x"]}, "Size": 5, "author": "me"},
        ],
        ids=["plain", "bare", "null", "throwaway", "full"],
    )
    @pytest.mark.parametrize("format", DockerFormat)
    @pytest.mark.parametrize("name", ["oci:{}", "docker-archive:{}", "dir:{}", "oci-archive:{}"])
    def test_copies_of_it_pass_verification(
        self, tmp_path: Path, bottom: Doc, name: str, format: DockerFormat
    ) -> None:
        (tmp_path / "old.tar").write_bytes(tar(self.archive(bottom__json=dump(bottom))))
        for image in ("one:1", "base:x"):
            out = name.format(tmp_path / image.partition(":")[0])
            copy(f"docker-archive:{tmp_path / 'old.tar'}:{image}", out, format=format)
            assert verify(out).findings == ()

    @pytest.mark.parametrize(
        ("parent", "kind"), [("top", MalformedError), ("gone", MemberNotFoundError)]
    )
    def test_an_impossible_parent(self, parent: str, kind: type[TarkitError]) -> None:
        members = self.archive(bottom__json=dump({"id": "bottom", "parent": parent}))
        with pytest.raises(kind), opened(members) as reader:
            reader.source("one:1")

    def test_a_missing_layer(self) -> None:
        members = self.archive()
        del members["top/layer.tar"]
        with opened(members) as reader, pytest.raises(MemberNotFoundError):
            reader.source("one:1")

    @pytest.mark.parametrize("repositories", [b"[]", b'{"a": 1}', b'{"a": {"b": 1}}', b"x"])
    def test_malformed(self, repositories: bytes) -> None:
        with pytest.raises(VerificationError):
            opened(self.archive(repositories=repositories))
