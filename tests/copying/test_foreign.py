"""Test non-distributable layers that are missing from the source."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import BlobNotFoundError, DigestMismatchError, ForeignLayerError
from tarkit.image import media_types as mt
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.progress import Progress
from tarkit.rootfs.layers import ImageLayers
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import open_source
from tarkit.verifying.runner import verify
from tests.builders import (
    Layout,
    check_layout,
    copy,
    load,
    make_image,
    named,
    read_files,
    sha256,
    squeeze,
    tar,
    write_files,
)

ONE = make_image("base", "own")
BASE = squeeze(ONE.layers[0])
URL = "https://user:secret@mcr.example/v2/windows/blobs/layer?sig=secret"
TYPES = [
    (True, mt.DOCKER_FOREIGN_LAYER + ".gzip"),
    (True, mt.DOCKER_FOREIGN_LAYER),
    (False, mt.OCI_FOREIGN_LAYER + "+gzip"),
    (False, mt.OCI_FOREIGN_LAYER + "+zstd"),
]


def foreign_files(docker: bool, kind: str, urls: list[str] | None = None) -> dict[str, bytes]:
    """Write a layout whose lower layer is only at its URLs."""
    layout = Layout()
    fields: dict[str, Any] = {"mediaType": kind, "urls": [URL] if urls is None else urls}
    entry = layout.image(ONE, docker=docker, layer_fields=[fields])
    del layout.files[f"blobs/sha256/{sha256(BASE)[7:]}"]
    return layout.finish(named(entry, "x"))


def place(tmp_path: Path, transport: str, files: dict[str, bytes]) -> str:
    if transport == "oci":
        return f"oci:{write_files(tmp_path / 'in', files)}:x"
    (tmp_path / "in.tar").write_bytes(tar(files))
    return f"oci-archive:{tmp_path / 'in.tar'}:x"


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
@pytest.mark.parametrize(("docker", "kind"), TYPES)
@pytest.mark.parametrize("compression", ["auto", "zstd"])
def test_missing_foreign_layer_is_noted(
    tmp_path: Path, transport: str, docker: bool, kind: str, compression: str
) -> None:
    location = place(tmp_path, transport, foreign_files(docker, kind))
    events: list[Progress] = []
    result = copy(
        location,
        f"oci:{tmp_path / 'out'}:y",
        compression=LayerCompression(compression),
        on_progress=events.append,
    )
    files = read_files(tmp_path / "out")
    layers = load(files, check_layout(files)["manifests"][0])["layers"]
    assert layers[0]["digest"] == sha256(BASE)
    assert layers[0]["urls"] == [URL]
    assert layers[0]["mediaType"].startswith(mt.OCI_FOREIGN_LAYER)
    [note] = result.notes
    assert sha256(BASE) in note
    assert "mcr.example" in note
    assert "secret" not in note
    assert result.copied + result.recompressed == 2, "the upper layer and the config"
    assert events[-1].percent == 100
    assert [f.rule for f in verify(f"oci:{tmp_path / 'out'}").findings] == ["absent-foreign-layer"]


@pytest.mark.parametrize("destination", ["oci-archive:{}/out.tar:y", "dir:{}/out"])
def test_other_destinations_omit_foreign_layers(tmp_path: Path, destination: str) -> None:
    location = place(tmp_path, "oci", foreign_files(*TYPES[2]))
    with open_source(location) as source:
        before = source.manifest().digest
    result = copy(location, destination.format(tmp_path), preserve_digests=True)
    assert result.descriptor.digest == before
    assert len(result.notes) == 1


@pytest.mark.parametrize("form", list(DockerFormat))
def test_docker_archive_refuses_missing_foreign_layers(tmp_path: Path, form: DockerFormat) -> None:
    location = place(tmp_path, "oci", foreign_files(*TYPES[0]))
    with pytest.raises(ForeignLayerError, match=r"mcr\.example.*--fetch-foreign") as caught:
        copy(location, f"docker-archive:{tmp_path / 'out.tar'}:y:1", format=form)
    assert sha256(BASE) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "out.tar").exists()


def test_files_of_an_image_that_lacks_it_are_refused_at_once(tmp_path: Path) -> None:
    location = place(tmp_path, "oci", foreign_files(*TYPES[0]))
    with open_source(location) as source, pytest.raises(ForeignLayerError, match="--fetch-foreign"):
        ImageLayers.of(source)


def test_a_layer_without_urls_or_of_a_common_type_is_missing(tmp_path: Path) -> None:
    for at, files in enumerate((foreign_files(*TYPES[2], []), foreign_files(False, mt.OCI_LAYER))):
        location = place(tmp_path / str(at), "oci", files)
        with pytest.raises(BlobNotFoundError):
            copy(location, f"oci:{tmp_path / 'out'}:y")


class Elsewhere:
    """Serves the layer, or other bytes instead."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[Digest] = []

    def __call__(self, layer: Descriptor) -> BinaryIO:
        self.asked.append(layer.digest)
        return io.BytesIO(self.data)


@pytest.mark.parametrize("form", list(DockerFormat))
def test_fetched_layers_are_copied_like_others(tmp_path: Path, form: DockerFormat) -> None:
    location = place(tmp_path, "oci", foreign_files(*TYPES[0]))
    elsewhere = Elsewhere(BASE)
    out = f"docker-archive:{tmp_path / 'out.tar'}:y:1"
    result = copy(location, out, format=form, fetch_foreign=elsewhere)
    assert [str(digest) for digest in elsewhere.asked] == [sha256(BASE)]
    assert result.notes == ()
    assert verify(out).ok
    copy(location, out, format=form, fetch_foreign=elsewhere)


def test_fetched_layers_are_verified(tmp_path: Path) -> None:
    location = place(tmp_path, "oci", foreign_files(*TYPES[0]))
    other = BASE[:-1] + bytes([BASE[-1] ^ 1])
    with pytest.raises(DigestMismatchError):
        copy(location, f"oci:{tmp_path / 'out'}:y", fetch_foreign=Elsewhere(other))
    assert not (tmp_path / "out").exists()


def test_nothing_is_fetched_that_the_source_has(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE, layer_fields=[{"urls": [URL]}])
    location = f"oci:{write_files(tmp_path / 'in', layout.finish(named(entry, 'x')))}:x"
    elsewhere = Elsewhere(b"")
    copy(location, f"oci:{tmp_path / 'out'}:y", fetch_foreign=elsewhere)
    assert elsewhere.asked == []


def test_by_default_nothing_is_fetched() -> None:
    assert CopyOptions().fetch_foreign is None
