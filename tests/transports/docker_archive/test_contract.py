"""The guarantees of containers/image's docker-archive library, one by one; docs/specification.md lists them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit import (
    AmbiguousImageError,
    BlobNotFoundError,
    Compression,
    Destination,
    DigestMismatchError,
    DockerArchiveReader,
    DockerArchiveWriter,
    ImageConfig,
    ImageNotFoundError,
    Manifest,
    Reader,
    Source,
    UsageError,
    VerifyingReader,
    Writer,
    read_config,
)
from tarkit.image import media_types
from tests.builders import digest_of, dump, tar

LAYER = tar({"hello": b"hello\n"})
ANY = frozenset(Compression)


def config(label: str, layer: bytes = LAYER) -> bytes:
    return dump(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Labels": {"label": label}},
            "rootfs": {"type": "layers", "diff_ids": [str(digest_of(layer))]},
        }
    )


def blob(data: bytes) -> VerifyingReader:
    return VerifyingReader(io.BytesIO(data), digest=digest_of(data), size=len(data))


def put_image(image: Destination, label: str) -> None:
    """Write an image of one layer and commit it."""
    layer = image.put_blob(blob(LAYER), media_types.OCI_LAYER)
    stored = image.put_blob(blob(config(label)), media_types.OCI_CONFIG)
    image.put_manifest(Manifest(media_types.OCI_MANIFEST, stored, (layer,)).serialize())
    image.commit()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive with the images ``one:1``, ``two:1`` and ``two:2``; the last two are the same image."""
    path = tmp_path / "images.tar"
    with DockerArchiveWriter.open(path) as writer:
        put_image(writer.destination("one:1"), "one")
        put_image(writer.destination("two:1", "two:2"), "two")
    return path


@pytest.fixture
def reader(archive: Path) -> Iterator[DockerArchiveReader]:
    with DockerArchiveReader.open(archive) as reader:
        yield reader


def test_the_classes_implement_the_protocols(archive: Path, tmp_path: Path) -> None:
    with DockerArchiveReader.open(archive) as opened:
        reader: Reader = opened
        source: Source = reader.source("one:1")
    with DockerArchiveWriter.open(tmp_path / "new.tar") as made:
        writer: Writer = made
        destination: Destination = writer.destination()
    assert source.where == str(archive)
    assert destination.where == str(tmp_path / "new.tar")


def test_the_manifest_is_read_on_opening(reader: DockerArchiveReader) -> None:
    names = [item.repo_tags for item in reader.manifest]
    assert names == [
        ("docker.io/library/one:1",),
        ("docker.io/library/two:1", "docker.io/library/two:2"),
    ]


def test_an_item_has_every_field(corpus: Path) -> None:
    with DockerArchiveReader.open(corpus / "docker-29-graph-save.tar") as reader:
        (item,) = reader.manifest
    assert item.config.startswith("blobs/sha256/0b058c3b")
    assert item.repo_tags == ("corpus/alpha:one",)
    assert len(item.layers) == len(item.layer_sources) == 3
    assert {f"blobs/sha256/{diff_id.hex}" for diff_id in item.layer_sources} == set(item.layers)
    assert item.parent == ""


def test_a_stream_may_be_closed_after_reading(archive: Path) -> None:
    stream = io.BytesIO(archive.read_bytes())
    with DockerArchiveReader.from_stream(stream) as reader:
        stream.close()
        source = reader.source("one:1")
        layer = Manifest.parse(source.manifest()).layers[0]
        with source.open_blob(layer) as opened:
            assert opened.read() == LAYER


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_everything_is_closed_with_the_reader(archive: Path) -> None:
    before = descriptors()
    with DockerArchiveReader.open(archive) as reader:
        reader.source("one:1").manifest()
    with DockerArchiveReader.from_stream(io.BytesIO(archive.read_bytes())) as reader:
        reader.source("one:1").manifest()
    assert descriptors() == before


def test_choosing_an_item(reader: DockerArchiveReader) -> None:
    def label(name: str | None = None, index: int | None = None) -> str:
        source = reader.source(name, index=index)
        found = ImageConfig.parse(read_config(source, Manifest.parse(source.manifest())))
        return found.labels["label"]

    assert label("one:1") == label("docker.io/library/one:1") == label(index=0) == "one"
    assert label("two:2") == label("two:1") == label(index=1) == "two"
    assert label("2") == "two"  # a unique tag
    with pytest.raises(AmbiguousImageError) as ambiguous:
        reader.source()
    assert len(ambiguous.value.available) == 2
    with pytest.raises(AmbiguousImageError, match="several images are named"):
        reader.source("1")
    with pytest.raises(ImageNotFoundError, match="there are 2 images"):
        reader.source(index=5)
    with pytest.raises(ImageNotFoundError):
        reader.source(index=-1)
    with pytest.raises(ImageNotFoundError):
        reader.source("three:1")
    with pytest.raises(UsageError, match="digest"):
        reader.source(f"one@{digest_of(LAYER)}")


def test_a_source_has_manifest_config_and_layers(reader: DockerArchiveReader) -> None:
    source = reader.source("one:1")
    raw = source.manifest()
    assert source.manifest(raw.digest) == raw
    manifest = Manifest.parse(raw)
    assert read_config(source, manifest) == config("one")
    with source.open_blob(manifest.layers[0]) as layer:
        assert layer.read() == LAYER
    with pytest.raises(BlobNotFoundError):
        source.manifest(digest_of(b"another"))


def test_one_writer_takes_several_images(archive: Path, reader: DockerArchiveReader) -> None:
    first, second = reader.manifest
    assert first.layers == second.layers
    assert archive.read_bytes().count(LAYER) == 1


def test_a_failing_stream_never_becomes_visible(tmp_path: Path) -> None:
    path = tmp_path / "images.tar"
    with DockerArchiveWriter.open(path) as writer:
        image = writer.destination("one:1")
        liar = VerifyingReader(io.BytesIO(b"altered"), digest=digest_of(LAYER))
        with pytest.raises(DigestMismatchError):
            image.put_blob(liar, media_types.OCI_LAYER)
        put_image(image, "one")
    with DockerArchiveReader.open(path) as reader:
        names = [member.name for member in reader.archive.members]
    assert len(names) == len(set(names))
    assert b"altered" not in path.read_bytes()


def test_a_blob_is_reused_only_if_stored(tmp_path: Path) -> None:
    with DockerArchiveWriter.open(tmp_path / "images.tar") as writer:
        image = writer.destination("one:1")
        layer = image.put_blob(blob(LAYER), media_types.OCI_LAYER)
        assert image.try_reuse(layer, diff_id=None, compressions=ANY) == layer
        again = writer.destination("two:1")
        assert again.try_reuse(layer, diff_id=None, compressions=ANY) == layer
        missing = type(layer)(media_types.OCI_LAYER, digest_of(b"missing"), 7)
        assert again.try_reuse(missing, diff_id=None, compressions=ANY) is None
    assert not (tmp_path / "images.tar").exists()


def test_without_commit_nothing_appears(tmp_path: Path) -> None:
    with DockerArchiveWriter.open(tmp_path / "never.tar") as writer:
        writer.destination("one:1").put_blob(blob(LAYER), media_types.OCI_LAYER)
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_publishes_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with DockerArchiveWriter.open(tmp_path / "failed.tar") as writer:
            put_image(writer.destination("one:1"), "one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
