"""Test the reuse of existing blobs, including broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit.copying.options import CopyResult, LayerCompression
from tarkit.errors import VerificationError
from tests.builders import Layout as LayoutMaker
from tests.builders import (
    check_layout,
    copy,
    docker_archive,
    image_of,
    layout_of,
    load,
    make_image,
    named,
    names_in,
    read_files,
    squeeze,
    write_files,
)

ONE = make_image("base", "one")
TWO = make_image("base", "two")


@pytest.fixture
def archive(tmp_path: Path) -> str:
    path = docker_archive(tmp_path / "save.tar", (ONE, ["one:1"]), (TWO, ["two:1"]))
    return f"docker-archive:{path}"


def counts(result: CopyResult) -> tuple[int, int, int]:
    return result.copied, result.recompressed, result.reused


def test_the_second_copy_recompresses_nothing(tmp_path: Path, archive: str) -> None:
    out = f"oci:{tmp_path / 'out'}"
    first = copy(f"{archive}:one:1", f"{out}:x")
    assert counts(first) == (1, 2, 0)
    second = copy(f"{archive}:one:1", f"{out}:x")
    assert counts(second) == (0, 0, 3)
    assert second.descriptor == first.descriptor
    assert second.bytes_written == 0


def test_a_shared_layer_is_found_by_its_diff_id(tmp_path: Path, archive: str) -> None:
    out = f"oci:{tmp_path / 'out'}"
    copy(f"{archive}:one:1", f"{out}:one")
    assert counts(copy(f"{archive}:two:1", f"{out}:two")) == (1, 1, 1)
    index = check_layout(read_files(tmp_path / "out"))
    assert names_in(index) == ["one", "two"]


def test_a_layer_is_found_only_in_the_compression_wanted(tmp_path: Path, archive: str) -> None:
    out = f"oci:{tmp_path / 'out'}"
    copy(f"{archive}:one:1", f"{out}:x")
    zstd = copy(f"{archive}:one:1", f"{out}:y", compression=LayerCompression.ZSTD)
    assert counts(zstd) == (0, 2, 1)
    assert counts(copy(f"{archive}:one:1", f"{out}:z", compression=LayerCompression.ZSTD)) == (
        0,
        0,
        3,
    )
    plain = copy(f"{archive}:one:1", f"{out}:p", compression=LayerCompression.PRESERVE)
    assert counts(plain) == (2, 0, 1)
    assert counts(copy(f"{archive}:one:1", f"{out}:x")) == (0, 0, 3)


def test_with_digests_preserved_only_the_same_blob_will_do(tmp_path: Path, archive: str) -> None:
    out = f"dir:{tmp_path / 'dir'}"
    copy(f"{archive}:one:1", f"oci:{tmp_path / 'out'}:gzip")
    copy(f"{archive}:one:1", out)
    result = copy(out, f"oci:{tmp_path / 'out'}:same", preserve_digests=True)
    assert counts(result) == (2, 0, 1)


def test_a_blob_of_the_right_size_is_hashed_when_asked(tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}:x")
    good = read_files(tmp_path / "out")
    layer = next(name for name, data in good.items() if data == squeeze(ONE.layers[0]))
    altered = bytes(len(good[layer]))
    (tmp_path / "out" / layer).write_bytes(altered)
    copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}:x")
    assert read_files(tmp_path / "out")[layer] == altered
    result = copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}:x", verify_existing=True)
    assert result.copied == 1
    assert read_files(tmp_path / "out") == good


def test_broken_existing_image_is_ignored(tmp_path: Path, archive: str) -> None:
    layout = LayoutMaker()
    entry = layout.image(TWO)
    config = load(layout.files, entry)["config"]["digest"]
    del layout.files[f"blobs/sha256/{config[7:]}"]
    write_files(tmp_path / "out", layout.finish(named(entry, "broken")))
    result = copy(f"{archive}:one:1", f"oci:{tmp_path / 'out'}:x")
    assert counts(result) == (1, 2, 0)
    assert names_in(check_layout(read_files(tmp_path / "out"))) == ["broken", "x"]


def test_an_image_there_with_too_few_diff_ids_stops_nothing(tmp_path: Path, archive: str) -> None:
    layout = LayoutMaker()
    short = image_of(ONE.layers, rootfs={"type": "layers", "diff_ids": list(ONE.diff_ids[:1])})
    write_files(tmp_path / "out", layout.finish(named(layout.image(short), "short")))
    result = copy(f"{archive}:one:1", f"oci:{tmp_path / 'out'}:x")
    assert counts(result)[0] + counts(result)[1] + counts(result)[2] == 3


def test_a_layer_named_twice_is_moved_once(tmp_path: Path) -> None:
    a, b = ONE.layers
    archive = docker_archive(tmp_path / "save.tar", (image_of((a, b, a)), []))
    result = copy(f"docker-archive:{archive}", f"oci:{tmp_path / 'out'}:x")
    assert counts(result) == (1, 2, 0)
    files = read_files(tmp_path / "out")
    layers = load(files, check_layout(files)["manifests"][0])["layers"]
    assert layers[0] == layers[2] != layers[1]


def test_wrong_diff_id_of_a_reused_layer_is_found_if_requested(
    tmp_path: Path, archive: str
) -> None:
    """An existing image with a wrong diff ID must not provide the layer."""
    liar = image_of((TWO.layers[1],), rootfs={"type": "layers", "diff_ids": [ONE.diff_ids[1]]})
    write_files(tmp_path / "out", layout_of(liar, "liar"))
    result = copy(f"{archive}:one:1", f"oci:{tmp_path / 'out'}:x", verify_existing=True)
    assert counts(result) == (1, 2, 0)
    honest = copy(f"{archive}:one:1", f"oci:{tmp_path / 'out'}:y", verify_existing=True)
    assert honest.descriptor == result.descriptor


def test_a_source_that_changes_under_the_copy_is_noticed(tmp_path: Path) -> None:
    files = layout_of(ONE)
    layer = next(name for name, data in files.items() if data == squeeze(ONE.layers[0]))
    files[layer] = squeeze(TWO.layers[1])
    write_files(tmp_path / "in", files)
    with pytest.raises(VerificationError):
        copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}:x")
