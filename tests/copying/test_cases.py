"""Test fourteen cases that simple implementations get wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import multiprocessing
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tarkit.copying.engine import copy_image
from tarkit.copying.options import LayerCompression, Sparse
from tarkit.errors import (
    AmbiguousImageError,
    BlobNotFoundError,
    DigestMismatchError,
    ImageNotFoundError,
    LayerCountError,
    MalformedError,
    MemberNotFoundError,
    MissingRootfsError,
    SharedLayerError,
    SizeMismatchError,
    TarkitError,
    TruncatedError,
    VerificationError,
)
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.platform import Platform
from tarkit.selection.select import read_config, select_image
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.docker_archive.writer import DockerArchiveWriter
from tarkit.transports.location import open_source
from tests.builders import (
    HEALTHCHECK,
    Doc,
    Layout,
    Link,
    blob,
    check_layout,
    classic_files,
    copy,
    docker_archive,
    dump,
    image_of,
    listing,
    load,
    make_image,
    multi_platform,
    named,
    names_in,
    on,
    read_files,
    sha256,
    tar,
    untar,
    write_files,
)

ONE = make_image("base", "one")
TWO = make_image("base", "two")


def pack_zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def config_of(location: str) -> bytes:
    """Verify all layers of the image at *location* and return its config."""
    with open_source(location) as source:
        manifest = Manifest.parse(select_image(source))
        for layer in manifest.layers:
            with source.open_blob(layer) as stream:
                data = stream.read()
            assert (sha256(data), len(data)) == (str(layer.digest), layer.size)
        return read_config(source, manifest)


def destinations(directory: Path, name: str) -> list[str]:
    return [
        f"oci:{directory / name}:x",
        f"oci-archive:{directory / name}-oci.tar:x",
        f"docker-archive:{directory / name}-docker.tar:x",
        f"dir:{directory / name}-dir",
    ]


@pytest.mark.parametrize("hard", [False, True])
def test_case_01_a_shared_layer_that_is_a_link(tmp_path: Path, hard: bool) -> None:
    members = classic_files((ONE, ["one:1"]))
    shared = f"{ONE.diff_ids[0][7:]}/layer.tar"
    links = ["again/layer.tar", "once-more/layer.tar"]
    members[links[0]] = Link(shared if hard else f"../{shared}", hard)
    members[links[1]] = Link(links[0] if hard else f"../{links[0]}", hard)
    members["two/layer.tar"] = TWO.layers[1]
    members["two.json"] = TWO.config
    items = json.loads(item_bytes(members))
    items.append(
        {"Config": "two.json", "RepoTags": ["two:1"], "Layers": [links[1], "two/layer.tar"]}
    )
    members["manifest.json"] = dump(items)
    archive = tmp_path / "save.tar"
    archive.write_bytes(tar(members))
    for name, image in (("one:1", ONE), ("two:1", TWO)):
        for destination in destinations(tmp_path, name[:3]):
            copy(f"docker-archive:{archive}:{name}", destination)
            assert config_of(destination) == image.config


def item_bytes(members: dict[str, bytes | Link]) -> bytes:
    data = members["manifest.json"]
    assert isinstance(data, bytes)
    return data


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": pack_zstd,
    "gzip-members": lambda data: gzip.compress(data[:3000]) + gzip.compress(data[3000:]),
    "zstd-frames": lambda data: pack_zstd(data[:3000]) + pack_zstd(data[3000:]),
}


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_case_02_however_the_archive_is_compressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packer: str, piped: bool
) -> None:
    data = PACKERS[packer](tar(classic_files((ONE, ["one:1"]))))
    (tmp_path / "save.tar").write_bytes(data)
    source = str(tmp_path / "save.tar")
    if piped:
        source = "-"
        monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": io.BytesIO(data)}))
    copy(f"docker-archive:{source}", f"oci:{tmp_path / 'out'}")
    assert config_of(f"oci:{tmp_path / 'out'}") == ONE.config


def broken_header(data: bytes) -> bytes:
    second = 512 + -(-len(ONE.layers[0]) // 512) * 512
    return data[: second + 100] + b"\xff" * 8 + data[second + 108 :]


def flipped_byte(data: bytes) -> bytes:
    at = data.index(b"one" * 10)
    return data[:at] + b"X" + data[at + 1 :]


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (broken_header, MalformedError),
        (lambda data: data[: len(ONE.layers[0]) // 2], TruncatedError),
        (flipped_byte, DigestMismatchError),
    ],
)
def test_case_03_broken_archives_leave_nothing_and_the_retry_works(
    tmp_path: Path, spoil: Callable[[bytes], bytes], kind: type[TarkitError]
) -> None:
    good = tar(classic_files((ONE, ["one:1"])))
    archive, out = tmp_path / "save.tar", tmp_path / "out"
    out.mkdir()
    for destination in destinations(out, "x"):
        archive.write_bytes(spoil(good))
        with pytest.raises(kind):
            copy(f"docker-archive:{archive}", destination)
        assert listing(out) == []
        archive.write_bytes(good)
        copy(f"docker-archive:{archive}", destination)
        assert config_of(destination) == ONE.config
        for path in out.iterdir():
            path.rename(tmp_path / f"done-{path.name}")


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"Layers": ["a/layer.tar"]}, LayerCountError),
        ({"Layers": ["a/layer.tar", "a/layer.tar"]}, SharedLayerError),
        ({"Layers": ["a/layer.tar", "missing"]}, MemberNotFoundError),
        ({"Config": "no-rootfs.json"}, MissingRootfsError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_case_04_four_distinct_errors(tmp_path: Path, change: Doc, kind: type[TarkitError]) -> None:
    item = {"Config": "c.json", "RepoTags": None, "Layers": ["a/layer.tar", "b/layer.tar"]}
    members = {
        "a/layer.tar": ONE.layers[0],
        "b/layer.tar": ONE.layers[1],
        "c.json": ONE.config,
        "no-rootfs.json": b'{"architecture": "amd64", "os": "linux"}',
        "manifest.json": dump([item | change]),
    }
    (tmp_path / "save.tar").write_bytes(tar(members))
    with pytest.raises(VerificationError) as caught:
        copy(f"docker-archive:{tmp_path / 'save.tar'}", f"oci:{tmp_path / 'out'}")
    assert type(caught.value) is kind
    assert listing(tmp_path) == ["save.tar"]


def test_case_05_a_layer_that_comes_twice_and_is_there_once(tmp_path: Path) -> None:
    a, b = ONE.layers
    image = image_of((a, b, a))
    members = {
        "a/layer.tar": a,
        "b/layer.tar": b,
        "c.json": image.config,
        "manifest.json": dump(
            [{"Config": "c.json", "Layers": ["a/layer.tar", "b/layer.tar", "gone/layer.tar"]}]
        ),
    }
    (tmp_path / "save.tar").write_bytes(tar(members))
    for destination in destinations(tmp_path, "out"):
        copy(f"docker-archive:{tmp_path / 'save.tar'}", destination)
        assert config_of(destination) == image.config
    result = copy(f"docker-archive:{tmp_path / 'save.tar'}", f"oci:{tmp_path / 'again'}")
    assert result.recompressed == 2


def test_case_06_no_selector_wants_exactly_one_image(tmp_path: Path) -> None:
    archive = tmp_path / "save.tar"
    (tmp_path / "empty.tar").write_bytes(tar({"manifest.json": b"[]"}))
    docker_archive(tmp_path / "one.tar", (ONE, ["one:1"]))
    docker_archive(archive, (ONE, ["one:1"]), (TWO, []))
    with pytest.raises(ImageNotFoundError, match="contains no image"):
        config_of(f"docker-archive:{tmp_path / 'empty.tar'}")
    assert config_of(f"docker-archive:{tmp_path / 'one.tar'}") == ONE.config
    with pytest.raises(
        AmbiguousImageError, match=r"contains 2 images and none was selected.*one:1"
    ):
        config_of(f"docker-archive:{archive}")
    with pytest.raises(ImageNotFoundError, match=r"no image @5: there are 2 images.*one:1"):
        config_of(f"docker-archive:{archive}:@5")
    with pytest.raises(ImageNotFoundError, match=r"no image 'three'.*one:1"):
        config_of(f"docker-archive:{archive}:three")
    assert config_of(f"docker-archive:{archive}:@1") == TWO.config


@pytest.mark.parametrize("format", DockerFormat)
def test_case_07_the_same_image_twice_is_one_item_with_both_names(
    tmp_path: Path, format: DockerFormat
) -> None:
    source = docker_archive(tmp_path / "save.tar", (ONE, ["x:1"]))
    out = tmp_path / "out.tar"
    with (
        DockerArchiveReader.open(source) as reader,
        DockerArchiveWriter.open(out, format) as writer,
    ):
        for name in ("one:1", "one:2"):
            copy_image(reader.source(), writer.destination(name))
    (item,) = json.loads(untar(out)["manifest.json"])
    assert item["RepoTags"] == ["docker.io/library/one:1", "docker.io/library/one:2"]


def test_case_08_a_truncated_blob_is_found_and_rewritten(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    copy(f"docker-archive:{archive}", f"oci:{tmp_path / 'out'}:x")
    before = read_files(tmp_path / "out")
    for name in before:
        if name.startswith("blobs/"):
            (tmp_path / "out" / name).write_bytes(before[name][:-1])
    copy(f"docker-archive:{archive}", f"oci:{tmp_path / 'out'}:x")
    assert read_files(tmp_path / "out") == before


def test_case_09_wrong_sizes_and_altered_manifests(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    manifest = load(layout.files, entry)
    for place in (manifest["config"], manifest["layers"][1]):
        place["size"] += 1
        bad = layout.blob(dump(manifest), entry["mediaType"])
        place["size"] -= 1
        write_files(tmp_path / "in", layout.finish(bad))
        with pytest.raises(SizeMismatchError):
            copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}")
    layout.files[f"blobs/sha256/{entry['digest'][7:]}"] = dump(manifest).replace(b" ", b"\n", 1)
    write_files(tmp_path / "in", layout.finish(entry))
    with pytest.raises(DigestMismatchError):
        copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}")
    assert listing(tmp_path) == ["in"]


def write_one(source: str, destination: str, start: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    copy(source, destination)


@pytest.mark.parametrize("existing", [False, True])
def test_case_10_eight_writers_at_once(tmp_path: Path, existing: bool) -> None:
    archive, out = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"])), tmp_path / "out"
    if existing:
        copy(f"docker-archive:{archive}", f"oci:{out}:before")
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    writers = [
        context.Process(
            target=write_one, args=(f"docker-archive:{archive}", f"oci:{out}:tag{number}", start)
        )
        for number in range(8)
    ]
    for writer in writers:
        writer.start()
    start.set()
    while any(writer.is_alive() for writer in writers):
        if (out / "index.json").exists():
            json.loads((out / "index.json").read_bytes())
        writers[0].join(0.01)
    assert [writer.exitcode for writer in writers] == [0] * 8
    index = check_layout(read_files(out))
    expected = {f"tag{number}" for number in range(8)} | ({"before"} if existing else set())
    assert set(names_in(index)) == expected
    assert len(index["manifests"]) == len(expected)
    assert listing(tmp_path) == ["out", "save.tar"]
    assert not list(out.glob(".*"))


def test_case_11_nothing_of_the_config_is_lost(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]))
    copy(f"docker-archive:{archive}", f"oci:{tmp_path / 'oci'}:x")
    copy(f"oci:{tmp_path / 'oci'}", f"docker-archive:{tmp_path / 'dual.tar'}:one:1")
    copy(
        f"oci:{tmp_path / 'oci'}",
        f"docker-archive:{tmp_path / 'classic.tar'}:one:1",
        format=DockerFormat.CLASSIC,
    )
    for name in ("dual.tar", "classic.tar"):
        data = config_of(f"docker-archive:{tmp_path / name}")
        assert data == ONE.config
        config = json.loads(data)
        assert config["config"]["Healthcheck"] == HEALTHCHECK
        assert config["config"]["OnBuild"] == ["RUN x"]
        assert config["vendor.example"] == {"kept": True}


def test_case_12_an_index_of_an_index_of_an_image(tmp_path: Path) -> None:
    layout = Layout()
    inner = layout.index(on(layout.image(ONE), "linux/amd64"))
    write_files(tmp_path / "in", layout.finish(named(layout.index(inner), "x")))
    copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}", platforms=[amd64()])
    assert config_of(f"oci:{tmp_path / 'out'}") == ONE.config
    copy(f"oci:{tmp_path / 'in'}:x", f"oci:{tmp_path / 'all'}:x", all=True)
    assert load(read_files(tmp_path / "all"), load_top(tmp_path / "all"))["manifests"] == [inner]


def test_case_12_a_cycle_is_an_error(tmp_path: Path) -> None:
    """No index can hold its own digest, so one that claims to is rejected."""
    layout = Layout()
    claimed = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": "sha256:" + "0" * 64,
    }
    top = layout.index(claimed | {"size": 300})
    layout.files["blobs/sha256/" + "0" * 64] = layout.files[f"blobs/sha256/{top['digest'][7:]}"]
    write_files(tmp_path / "in", layout.finish(named(top, "x")))
    choices: list[Doc] = [{"all": True}, {}]
    for options in choices:
        with pytest.raises(VerificationError):
            copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}", **options)
    assert listing(tmp_path) == ["in"]


def test_case_12_indexes_nested_without_end(tmp_path: Path) -> None:
    layout = Layout()
    entry = on(layout.image(ONE), "linux/amd64")
    for _ in range(20):
        entry = layout.index(entry)
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    choices: list[Doc] = [{"all": True}, {"platforms": [amd64()]}]
    for options in choices:
        with pytest.raises(MalformedError, match="nested more than 8 deep"):
            copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}", **options)


def test_case_12_indexes_that_fan_out_are_walked_once(tmp_path: Path) -> None:
    layout = Layout()
    entry = on(layout.image(ONE), "linux/amd64")
    for level in range(7):
        entry = layout.index(*[entry | {"annotations": {"n": str(n)}} for n in range(50)], n=level)
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    result = copy(f"oci:{tmp_path / 'in'}:x", f"oci:{tmp_path / 'out'}:x", all=True)
    assert result.copied == len(ONE.layers) + 1
    assert result.descriptor.digest == Digest.parse(entry["digest"])


def test_case_13_layers_with_urls_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a file transport asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    layout = Layout()
    fields = [{"urls": ["https://example.org/layer"]}]
    entry = layout.image(ONE, layer_fields=fields)
    write_files(tmp_path / "in", layout.finish(entry))
    copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}")
    files = read_files(tmp_path / "out")
    layers = load(files, check_layout(files)["manifests"][0])["layers"]
    assert layers[0]["urls"] == ["https://example.org/layer"]
    (tmp_path / "in" / "blobs" / "sha256" / layers[0]["digest"][7:]).unlink()
    with pytest.raises(BlobNotFoundError):
        copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'elsewhere'}")


@pytest.mark.parametrize("docker", [False, True])
def test_case_14_there_and_back_is_byte_identical(tmp_path: Path, docker: bool) -> None:
    if docker:
        layout = Layout()
        entry = layout.index(
            on(layout.image(ONE, docker=True), "linux/amd64"),
            on(layout.image(TWO, docker=True), "linux/arm64"),
            docker=True,
        )
    else:
        layout, entry, _ = multi_platform("amd64", "arm64", "s390x")
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    options: Doc = {"all": True, "preserve_digests": docker}
    middle = f"dir:{tmp_path / 'dir'}" if docker else f"oci-archive:{tmp_path / 'a.tar'}:x"
    copy(f"oci:{tmp_path / 'in'}:x", middle, **options)
    result = copy(middle, f"oci:{tmp_path / 'out'}:x", **options)
    assert str(result.descriptor.digest) == entry["digest"]
    before, after = read_files(tmp_path / "in"), read_files(tmp_path / "out")
    assert {n: d for n, d in before.items() if n.startswith("blobs/")} == {
        n: d for n, d in after.items() if n.startswith("blobs/")
    }


def test_case_14_a_sparse_index_too(tmp_path: Path) -> None:
    layout, entry, _ = multi_platform("amd64", "arm64")
    gone = load(layout.files, entry)["manifests"][1]["digest"]
    del layout.files[f"blobs/sha256/{gone[7:]}"]
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    options: Doc = {"all": True, "sparse": Sparse.KEEP, "compression": LayerCompression.PRESERVE}
    copy(f"oci:{tmp_path / 'in'}:x", f"oci-archive:{tmp_path / 'a.tar'}:x", **options)
    copy(f"oci-archive:{tmp_path / 'a.tar'}", f"oci:{tmp_path / 'out'}:x", **options)
    files = read_files(tmp_path / "out")
    assert blob(files, check_layout(files)["manifests"][0]) == blob(layout.files, entry)


def amd64() -> Platform:
    return Platform("linux", "amd64")


def load_top(directory: Path) -> Doc:
    entry: Doc = check_layout(read_files(directory))["manifests"][0]
    return entry
