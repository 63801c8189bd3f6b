"""Write docker archives: both formats, any number of images, deterministic bytes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import MalformedError, UsageError, VerificationError
from tarkit.image import media_types as mt
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.protocols import Destination
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.docker_archive.writer import DockerArchiveWriter
from tests.builders import (
    CONTAINERD_NAME,
    REF_NAME,
    Doc,
    Image,
    check_layout,
    copy,
    docker_archive,
    image_of,
    layout_of,
    listing,
    load,
    make_image,
    multi_platform,
    squeeze,
    untar,
    write_files,
)

ONE = make_image("base", "one")
TWO = make_image("base", "two")
both_formats = pytest.mark.parametrize("format", DockerFormat)


@pytest.fixture
def save(tmp_path: Path) -> Path:
    """Two images that share a layer."""
    return docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1", "two:2"]))


def write(
    source: Path, out: Path, format: DockerFormat, *steps: tuple[int, list[str]], **options: object
) -> list[Doc]:
    """Write the images at the given positions under names; return the items of ``manifest.json``."""
    with (
        DockerArchiveReader.open(source) as reader,
        DockerArchiveWriter.open(out, format) as writer,
    ):
        for index, names in steps:
            copy_image(
                reader.source(index=index),
                writer.destination(*names),
                CopyOptions(**options),  # type: ignore[arg-type]
            )
    items: list[Doc] = json.loads(untar(out)["manifest.json"])
    return items


def tags(items: list[Doc]) -> list[list[str]]:
    return [[tag.removeprefix("docker.io/library/") for tag in item["RepoTags"]] for item in items]


@both_formats
def test_shared_layers_are_stored_once(save: Path, tmp_path: Path, format: DockerFormat) -> None:
    items = write(save, tmp_path / "out.tar", format, (0, ["one:1"]), (1, ["two:1", "two:2"]))
    assert tags(items) == [["one:1"], ["two:1", "two:2"]]
    assert items[0]["Layers"][0] == items[1]["Layers"][0]
    files = untar(tmp_path / "out.tar")  # also checks that no member is duplicated
    assert list(files.values()).count(ONE.layers[0]) == 1
    for item, image in zip(items, (ONE, TWO), strict=True):
        assert files[item["Config"]] == image.config
        assert [files[path] for path in item["Layers"]] == list(image.layers)


@both_formats
def test_an_image_without_a_name(save: Path, tmp_path: Path, format: DockerFormat) -> None:
    items = write(save, tmp_path / "out.tar", format, (0, []), (1, []))
    assert tags(items) == [[], []]


@both_formats
def test_the_same_image_twice_is_one_item(save: Path, tmp_path: Path, format: DockerFormat) -> None:
    steps = [(0, ["a:1"]), (0, ["b:1", "a:1"]), (0, [])]
    items = write(save, tmp_path / "out.tar", format, *steps)
    assert tags(items) == [["a:1", "b:1"]]


@both_formats
def test_a_name_moves_to_the_latest_image(save: Path, tmp_path: Path, format: DockerFormat) -> None:
    steps = [(0, ["a:1", "b:1"]), (1, ["b:1"])]
    assert tags(write(save, tmp_path / "1.tar", format, *steps)) == [["a:1"], ["b:1"]]
    steps = [(0, ["a:1"]), (1, ["a:1"])]
    assert tags(write(save, tmp_path / "2.tar", format, *steps)) == [["a:1"]]
    steps = [(0, []), (1, ["a:1"])]
    assert tags(write(save, tmp_path / "3.tar", format, *steps)) == [[], ["a:1"]]


@both_formats
@pytest.mark.parametrize("name", ["a@sha256:" + "0" * 64, "Not A Name", ""])
def test_names_that_docker_rejects(tmp_path: Path, format: DockerFormat, name: str) -> None:
    with (
        DockerArchiveWriter.open(tmp_path / "out.tar", format) as writer,
        pytest.raises(UsageError),
    ):
        writer.destination(name)
    assert listing(tmp_path) == []


@both_formats
def test_nothing_is_written_without_a_commit(tmp_path: Path, format: DockerFormat) -> None:
    with DockerArchiveWriter.open(tmp_path / "out.tar", format):
        pass
    assert listing(tmp_path) == []


@both_formats
def test_an_error_keeps_the_existing_file(tmp_path: Path, format: DockerFormat) -> None:
    (tmp_path / "out.tar").write_bytes(b"before")

    def fail() -> None:
        with DockerArchiveWriter.open(tmp_path / "out.tar", format) as writer:
            put_image(writer.destination("a:1"), ONE)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "out.tar").read_bytes() == b"before"
    assert listing(tmp_path) == ["out.tar"]


def put(destination: Destination, data: bytes, media_type: str, expected: bytes) -> Descriptor:
    """Put *data*, verified against *expected*."""
    blob = VerifyingReader(io.BytesIO(data), digest=Digest.of(expected), size=len(expected))
    return destination.put_blob(blob, media_type)


def put_image(destination: Destination, image: Image) -> Descriptor:
    """Write an image from memory, as users of the library do."""
    layers = []
    for layer in image.layers:
        descriptor = Descriptor.of(layer, mt.DOCKER_LAYER)
        if not destination.try_reuse(
            descriptor, diff_id=descriptor.digest, compressions=frozenset(mt.Compression)
        ):
            put(destination, layer, mt.DOCKER_LAYER, layer)
        layers.append(descriptor)
    config = put(destination, image.config, mt.DOCKER_CONFIG, image.config)
    destination.put_manifest(Manifest(mt.DOCKER_MANIFEST, config, tuple(layers)).serialize())
    return destination.commit()


@both_formats
def test_a_failing_stream_never_becomes_visible_and_the_retry_works(
    tmp_path: Path, format: DockerFormat
) -> None:
    good, bad = ONE.layers[0], ONE.layers[0][:-1] + b"x"
    with DockerArchiveWriter.open(tmp_path / "out.tar", format) as writer:
        destination = writer.destination("one:1")
        for data in (bad, good[:700], good + b"x"):
            with pytest.raises(VerificationError):
                put(destination, data, mt.DOCKER_LAYER, good)
        put_image(destination, ONE)
        put_image(writer.destination("two:1"), TWO)
    files = untar(tmp_path / "out.tar")
    assert bad not in files.values()
    with DockerArchiveReader.open(tmp_path / "out.tar") as reader:
        assert len(reader.images()) == 2
    copy(f"docker-archive:{tmp_path / 'out.tar'}:one:1", f"oci:{tmp_path / 'oci'}")


@both_formats
def test_a_blob_put_twice_is_stored_once(tmp_path: Path, format: DockerFormat) -> None:
    with DockerArchiveWriter.open(tmp_path / "out.tar", format) as writer:
        destination = writer.destination("one:1")
        for _ in range(2):
            put(destination, ONE.layers[0], mt.DOCKER_LAYER, ONE.layers[0])
        put_image(destination, ONE)
    assert list(untar(tmp_path / "out.tar").values()).count(ONE.layers[0]) == 1


def test_one_config_with_two_sets_of_layers(tmp_path: Path) -> None:
    other = Image((ONE.layers[0], TWO.layers[1]), ONE.config)
    with DockerArchiveWriter.open(tmp_path / "out.tar", DockerFormat.CLASSIC) as writer:
        put_image(writer.destination("one:1"), ONE)
        with pytest.raises(MalformedError, match="is used with two sets of layers"):
            put_image(writer.destination("one:1"), other)
    (item,) = json.loads(untar(tmp_path / "out.tar")["manifest.json"])
    assert item["RepoTags"] == ["docker.io/library/one:1"]


@both_formats
def test_members_have_no_owner_and_no_time(
    save: Path, tmp_path: Path, format: DockerFormat
) -> None:
    write(save, tmp_path / "out.tar", format, (0, ["one:1"]))
    with tarfile.open(tmp_path / "out.tar") as archive:
        for member in archive:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            assert member.mtime == 0
            assert member.mode == (0o444 if member.isfile() else 0)


@both_formats
def test_source_date_epoch_sets_the_time_of_all_members(
    save: Path, tmp_path: Path, format: DockerFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write(save, tmp_path / "out.tar", format, (0, ["one:1"]))
    with tarfile.open(tmp_path / "out.tar") as archive:
        assert {member.mtime for member in archive} == {1_700_000_000}


@pytest.mark.parametrize(
    "value", ["yesterday", "-1", "1.5", "9" * 20, "0" * 5000, "0" * 20 + "9" * 21]
)
def test_a_malformed_source_date_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        DockerArchiveWriter.open(tmp_path / "out.tar")
    assert listing(tmp_path) == []


@both_formats
def test_the_same_bytes_at_any_jobs(save: Path, tmp_path: Path, format: DockerFormat) -> None:
    outputs = set()
    for jobs in (1, 2, 8):
        out = tmp_path / f"{jobs}.tar"
        write(save, out, format, (0, ["one:1"]), (1, ["two:1"]), jobs=jobs)
        outputs.add(out.read_bytes())
    assert len(outputs) == 1


@both_formats
def test_the_same_bytes_in_any_environment(
    save: Path, tmp_path: Path, format: DockerFormat
) -> None:
    script = (
        "import os, sys; os.umask(int(sys.argv[4], 8)); from tests.builders import *;"
        "copy('docker-archive:' + sys.argv[1] + ':two:1', 'docker-archive:' + sys.argv[2] + ':x:1',"
        " format=DockerFormat(sys.argv[3]))"
    )
    outputs = set()
    surroundings = [
        ("022", "UTC", "C"),
        ("077", "Asia/Kathmandu", "C.UTF-8"),
        ("000", "EST5", "POSIX"),
    ]
    for umask, timezone, language in surroundings:
        out = tmp_path / f"{umask}.tar"
        subprocess.run(
            [sys.executable, "-c", script, str(save), str(out), format.value, umask],
            check=True,
            cwd=Path(__file__).parents[3],
            env=os.environ | {"TZ": timezone, "LC_ALL": language, "PYTHONHASHSEED": umask},
        )
        outputs.add(out.read_bytes())
        if os.name == "posix":
            assert out.stat().st_mode & 0o777 == 0o644
    assert len(outputs) == 1


def test_classic_archives_match_skopeo_byte_for_byte(corpus: Path, tmp_path: Path) -> None:
    original = corpus / "skopeo-docker-archive.tar"
    with DockerArchiveReader.open(original) as reader:
        names = list(reader.images()[0].names)
    write(original, tmp_path / "out.tar", DockerFormat.CLASSIC, (0, names))
    ours, theirs = (tmp_path / "out.tar").read_bytes(), original.read_bytes()
    assert ours.rstrip(b"\0") == theirs.rstrip(b"\0")
    assert len(ours) == len(theirs)


def test_a_dual_archive_is_a_layout_with_both_names(save: Path, tmp_path: Path) -> None:
    write(save, tmp_path / "out.tar", DockerFormat.DUAL, (1, ["two:1", "example.org/two:2"]))
    files = untar(tmp_path / "out.tar")
    index = check_layout(files)
    assert [entry["annotations"] for entry in index["manifests"]] == [
        {CONTAINERD_NAME: "docker.io/library/two:1", REF_NAME: "1"},
        {CONTAINERD_NAME: "example.org/two:2", REF_NAME: "2"},
    ]
    (item,) = json.loads(files["manifest.json"])
    manifest = load(files, index["manifests"][0])
    assert item["Layers"] == [f"blobs/sha256/{d['digest'][7:]}" for d in manifest["layers"]]
    assert json.loads(files["repositories"]).keys() == {"docker.io/library/two", "example.org/two"}


def test_a_dual_archive_keeps_manifests_and_compressed_layers(tmp_path: Path) -> None:
    files = layout_of(ONE, annotations={"kept": "yes"})
    write_files(tmp_path / "layout", files)
    result = copy(f"oci:{tmp_path / 'layout'}", f"docker-archive:{tmp_path / 'out.tar'}:one:1")
    again = untar(tmp_path / "out.tar")
    for name, data in files.items():
        if name.startswith("blobs/"):
            assert again[name] == data
    assert result.descriptor.digest.matches(again[f"blobs/sha256/{result.descriptor.digest.hex}"])


def test_a_dual_archive_recompresses_zstd_by_default(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", layout_of(ONE))
    copy(
        f"oci:{tmp_path / 'layout'}",
        f"oci:{tmp_path / 'zstd'}:x",
        compression=LayerCompression.ZSTD,
    )
    for compression, media_type in (
        (LayerCompression.AUTO, mt.OCI_LAYER_GZIP),
        (LayerCompression.PRESERVE, mt.OCI_LAYER_ZSTD),
    ):
        out = tmp_path / f"{compression.value}.tar"
        copy(f"oci:{tmp_path / 'zstd'}", f"docker-archive:{out}:one:1", compression=compression)
        files = untar(out)
        layers = load(files, check_layout(files)["manifests"][0])["layers"]
        assert {layer["mediaType"] for layer in layers} == {media_type}


def test_several_platforms_under_one_name_each(tmp_path: Path) -> None:
    _, _, images = multi_platform("amd64", "arm64")
    with DockerArchiveWriter.open(tmp_path / "out.tar") as writer:
        for architecture, image in images.items():
            put_image(writer.destination(f"app:{architecture}"), image)
    items = json.loads(untar(tmp_path / "out.tar")["manifest.json"])
    assert tags(items) == [["app:amd64"], ["app:arm64"]]


def test_an_image_without_layers(tmp_path: Path) -> None:
    empty = image_of((), history=[])
    save = docker_archive(tmp_path / "save.tar", (empty, ["none:1"]))
    for format in DockerFormat:
        (item,) = write(save, tmp_path / f"{format.value}.tar", format, (0, ["none:1"]))
        assert item["Layers"] == []


def test_a_layer_with_a_digest_of_another_algorithm(tmp_path: Path) -> None:
    with DockerArchiveWriter.open(tmp_path / "out.tar") as writer:
        destination = writer.destination("a:1")
        layer = squeeze(ONE.layers[0])
        blob = VerifyingReader(io.BytesIO(layer), digest=Digest.of(layer, "sha512"))
        descriptor = destination.put_blob(blob, mt.OCI_LAYER_GZIP)
        image = image_of(ONE.layers[:1])
        config = put(destination, image.config, mt.OCI_CONFIG, image.config)
        destination.put_manifest(Manifest(mt.OCI_MANIFEST, config, (descriptor,)).serialize())
        destination.commit()
    assert untar(tmp_path / "out.tar")[f"blobs/sha512/{descriptor.digest.hex}"] == layer
    copy(f"docker-archive:{tmp_path / 'out.tar'}", f"oci:{tmp_path / 'oci'}")


def test_standard_output_gets_the_whole_archive(save: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tarkit", "copy", f"docker-archive:{save}:one:1"]
    result = subprocess.run([*command, "docker-archive:-:one:1"], capture_output=True, check=True)
    copy(f"docker-archive:{save}:one:1", f"docker-archive:{tmp_path / 'out.tar'}:one:1")
    assert result.stdout == (tmp_path / "out.tar").read_bytes()
