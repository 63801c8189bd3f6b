"""Test the comparison of layers with diff IDs: if it is free, or if requested."""

from __future__ import annotations

import bz2
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tarkit.copying.diffids import DiffIdReader
from tarkit.copying.options import LayerCompression
from tarkit.errors import DigestMismatchError, MalformedError, VerificationError
from tarkit.image import media_types as mt
from tarkit.image.digest import Digest
from tarkit.progress import Event, Progress
from tarkit.streams.chunks import drain
from tarkit.transports.docker_archive.format import DockerFormat
from tests.builders import (
    Image,
    Layout,
    copy,
    leftovers,
    make_image,
    named,
    noise,
    read_files,
    sha256,
    squeeze,
    write_files,
)

ONE = make_image("one", "two")
WRONG = Image((ONE.layers[0], make_image("other").layers[0]), ONE.config)
OTHER = WRONG.layers[1]


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def layout(path: Path, image: Image, name: str = "x", **how: Any) -> str:
    made = Layout()
    write_files(path, made.finish(named(made.image(image, **how), name)))
    return f"oci:{path}:{name}"


PLAIN = [
    pytest.param({"pack": None, "layer_type": mt.OCI_LAYER_GZIP}, id="plain declared gzip"),
    pytest.param({"pack": None, "layer_type": mt.OCI_LAYER + "+zstd"}, id="plain declared zstd"),
    pytest.param({"pack": None}, id="plain"),
]
PACKED = [
    pytest.param({}, id="gzip"),
    pytest.param({"pack": zstd, "layer_type": mt.OCI_LAYER + "+zstd"}, id="zstd"),
    pytest.param({"layer_type": mt.OCI_LAYER}, id="gzip declared plain"),
]
DESTINATIONS = [
    "oci:{}/out:y",
    "oci-archive:{}/out.tar:y",
    "dir:{}/out",
    "docker-archive:{}/out.tar:y:1",
]
each_destination = pytest.mark.parametrize("destination", DESTINATIONS)


def expect_mismatch(source: str, destination: Path, text: str, **options: Any) -> None:
    with pytest.raises(DigestMismatchError) as caught:
        copy(source, text.format(destination), **options)
    assert caught.value.expected == ONE.diff_ids[1]
    assert caught.value.actual == sha256(OTHER)
    assert ONE.diff_ids[1] in str(caught.value)
    assert sha256(OTHER) in str(caught.value)
    assert not (destination / "out").exists()
    assert not (destination / "out.tar").exists()
    assert leftovers(destination) == []


@each_destination
@pytest.mark.parametrize("how", PLAIN)
@pytest.mark.parametrize("compression", [LayerCompression.AUTO, LayerCompression.PRESERVE])
def test_a_plain_layer_is_always_compared(
    tmp_path: Path, how: dict[str, Any], destination: str, compression: LayerCompression
) -> None:
    source = layout(tmp_path / "in", WRONG, **how)
    expect_mismatch(source, tmp_path, destination, compression=compression)


@each_destination
@pytest.mark.parametrize("how", PACKED)
def test_a_layer_that_stays_compressed_is_compared_if_asked(
    tmp_path: Path, how: dict[str, Any], destination: str
) -> None:
    source = layout(tmp_path / "in", WRONG, **how)
    expect_mismatch(source, tmp_path, destination, verify_diff_ids=True)


@pytest.mark.parametrize(
    "target", [LayerCompression.NONE, LayerCompression.ZSTD, LayerCompression.GZIP]
)
def test_a_layer_that_is_recompressed_is_always_compared(
    tmp_path: Path, target: LayerCompression
) -> None:
    source = layout(tmp_path / "in", WRONG, pack=bz2.compress, layer_type=mt.OCI_LAYER)
    expect_mismatch(source, tmp_path, DESTINATIONS[0], compression=target)


@pytest.mark.parametrize("how", [*PLAIN, *PACKED])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_good_layers_are_copied_as_ever(
    tmp_path: Path, how: dict[str, Any], algorithm: str
) -> None:
    diff_ids = [str(Digest.of(layer, algorithm)) for layer in ONE.layers]
    config = ONE.config.replace(ONE.diff_ids[0].encode(), diff_ids[0].encode())
    config = config.replace(ONE.diff_ids[1].encode(), diff_ids[1].encode())
    source = layout(tmp_path / "in", Image(ONE.layers, config), **how)
    results = [
        copy(source, f"oci:{tmp_path / str(asked)}:y", verify_diff_ids=asked)
        for asked in (False, True)
    ]
    assert read_files(tmp_path / "False") == read_files(tmp_path / "True")
    assert results[0] == results[1]


def test_a_plain_layer_under_another_algorithm_is_compared_too(tmp_path: Path) -> None:
    diff_id = str(Digest.of(ONE.layers[1], "sha512"))
    config = ONE.config.replace(ONE.diff_ids[1].encode(), diff_id.encode())
    source = layout(tmp_path / "in", Image(WRONG.layers, config), pack=None)
    with pytest.raises(DigestMismatchError) as caught:
        copy(source, f"dir:{tmp_path / 'out'}")
    assert caught.value.expected == diff_id
    assert not (tmp_path / "out").exists()


def test_a_layer_that_is_reused_is_compared_if_asked(tmp_path: Path) -> None:
    source, out = layout(tmp_path / "in", WRONG), f"oci:{tmp_path / 'out'}:y"
    copy(source, out)
    before = read_files(tmp_path / "out")
    events: list[Progress] = []
    assert copy(source, out).reused == 3
    with pytest.raises(DigestMismatchError, match=ONE.diff_ids[1]):
        copy(source, out, verify_diff_ids=True)
    assert read_files(tmp_path / "out") == before
    good = layout(tmp_path / "good", ONE, "good")
    copy(good, out)
    result = copy(good, out, verify_diff_ids=True, on_progress=events.append)
    assert result.reused == 3
    assert [e.event for e in events].count(Event.FINISHED) == 2
    assert events[-1].total_done == events[-1].total


def test_a_corrupt_layer_is_found_on_the_way(tmp_path: Path) -> None:
    def damaged(data: bytes) -> bytes:
        packed = bytearray(squeeze(data))
        packed[-6] ^= 1
        return bytes(packed)

    source = layout(tmp_path / "in", ONE, pack=damaged)
    copy(source, f"dir:{tmp_path / 'out'}")
    with pytest.raises(VerificationError, match="gzip stream is corrupt"):
        copy(source, f"dir:{tmp_path / 'other'}", verify_diff_ids=True)
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("form", list(DockerFormat))
def test_docker_archives_hold_to_the_diff_ids(tmp_path: Path, form: DockerFormat) -> None:
    source = layout(tmp_path / "in", ONE)
    result = copy(
        source, f"docker-archive:{tmp_path / 'out.tar'}:y:1", format=form, verify_diff_ids=True
    )
    assert result.copied + result.recompressed == 3


def reader(data: bytes, diff_id: Digest) -> DiffIdReader:
    return DiffIdReader(io.BytesIO(data), diff_id, "the layer")


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "diff-id"}


@pytest.mark.parametrize("pack", [bytes, squeeze, zstd, bz2.compress])
def test_the_bytes_go_on_unchanged(pack: Callable[[bytes], bytes]) -> None:
    data = noise(9 << 20)
    with reader(pack(data), Digest.of(data)) as stream:
        assert stream.read() == pack(data)
        assert stream.read(1) == b""
    assert threads() == set()


def test_a_layer_that_fails_early_is_read_to_its_end_first() -> None:
    data = squeeze(b"x")[:-1] + b"!" + noise(20 << 20)
    with reader(data, Digest.of(b"x")) as stream:
        got = stream.read(len(data))
        with pytest.raises(MalformedError):
            drain(stream)
    assert got == data[: len(got)]
    assert threads() == set()


def test_a_reader_that_is_closed_early_leaves_no_thread() -> None:
    stream = reader(noise(20 << 20), Digest.of(b""))
    stream.read(1)
    stream.close()
    stream.close()
    assert threads() == set()
