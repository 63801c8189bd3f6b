"""Adding images to an archive: the others move without passing through the process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import DigestMismatchError
from tarkit.syncing.images import copy_images
from tarkit.syncing.options import SyncOptions
from tarkit.tar.archive import Archive
from tarkit.transports.location import open_reader
from tests.builders import untar
from tests.cli.conftest import Tarkit
from tests.syncing.images import laid_out, saved

FORMATS = pytest.mark.parametrize("transport", ["oci-archive", "docker-archive"])
needs_ranges = pytest.mark.skipif(
    not hasattr(os, "copy_file_range"), reason="the system cannot copy ranges"
)


def refuse(code: int) -> object:
    def copy_file_range(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    return copy_file_range


@needs_ranges
@FORMATS
def test_blobs_move_and_the_archive_is_the_same(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = laid_out(tmp_path / "in", "a:1", "b:1", "c:1")
    one, other = f"{transport}:{tmp_path / 'one'}", f"{transport}:{tmp_path / 'other'}"
    for out in (one, other):
        copy_images([f"{source}:a:1", f"{source}:b:1"], out)
    moved = copy_images([f"{source}:c:1"], one)
    assert moved.kept.images == 2
    assert moved.kept.bytes_moved > 200_000
    assert moved.kept.bytes_copied == 0
    monkeypatch.setattr(os, "copy_file_range", refuse(errno.EXDEV))
    copied = copy_images([f"{source}:c:1"], other)
    assert copied.kept.bytes_moved == 0
    assert copied.kept.bytes_copied == moved.kept.bytes_moved
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@FORMATS
def test_adding_one_at_a_time_equals_adding_all(tmp_path: Path, transport: str) -> None:
    source = laid_out(tmp_path / "in", "a:1", "b:1", "c:1")
    for name in ("a:1", "b:1", "c:1"):
        copy_images([f"{source}:{name}"], f"{transport}:{tmp_path / 'one'}")
    copy_images([source], f"{transport}:{tmp_path / 'all'}", SyncOptions(all_images=True))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "all").read_bytes()


@FORMATS
def test_blobs_of_a_replaced_image_are_left_out(tmp_path: Path, transport: str) -> None:
    source, new = (
        laid_out(tmp_path / "in", "a:1", "b:1"),
        laid_out(tmp_path / "new", "x:1", "b:1", "a:1"),
    )
    out = f"{transport}:{tmp_path / 'out'}"
    copy_images([source], out, SyncOptions(all_images=True))
    copy_images([f"{new}:a:1"], out)
    fresh = f"{transport}:{tmp_path / 'fresh'}"
    copy_images([f"{source}:b:1", f"{new}:a:1"], fresh)
    assert untar(tmp_path / "out").keys() == untar(tmp_path / "fresh").keys()


def test_other_producers_archives_get_our_headers(tmp_path: Path, corpus: Path) -> None:
    """The first addition rewrites the headers; the blobs are those of the other archive."""
    archive = tmp_path / "out.tar"
    source = saved(tmp_path / "in.tar", 1)
    images = [path for path in sorted(corpus.glob("*.tar")) if "rootfs" not in path.name]
    assert len(images) > 5
    for original in images:
        archive.write_bytes(original.read_bytes())
        with open_reader(str(original)) as reader:
            before = [reader.source(index=e.index).manifest().digest for e in reader.images()]
            transport = (
                "docker-archive" if "DockerArchive" in type(reader).__name__ else "oci-archive"
            )
        copy_images([source], f"{transport}:{archive}")
        with open_reader(f"{transport}:{archive}") as reader:
            after = [reader.source(index=e.index).manifest().digest for e in reader.images()]
        assert len(after) == len(before) + 1, original.name


@FORMATS
def test_layers_are_verified_on_request(tmp_path: Path, transport: str) -> None:
    source, out = laid_out(tmp_path / "in", "a:1", "b:1"), tmp_path / "out"
    copy_images([f"{source}:a:1"], f"{transport}:{out}")
    data = bytearray(out.read_bytes())
    data[1000] ^= 1  # in the first layer
    out.write_bytes(data)
    with pytest.raises(DigestMismatchError):
        copy_images([f"{source}:b:1"], f"{transport}:{out}", SyncOptions(verify_existing=True))
    assert out.read_bytes() == data


def test_bytes_are_reported(tmp_path: Path, tarkit: Tarkit) -> None:
    source, out = laid_out(tmp_path / "in", "a:1", "b:1"), f"oci-archive:{tmp_path / 'out'}"
    tarkit("copy", f"{source}:a:1", out)
    result = tarkit("copy", "--json", f"{source}:b:1", out)
    assert result.document["kept"]["images"] == 1
    moved, copied = (result.document["kept"][key] for key in ("bytes_moved", "bytes_copied"))
    assert moved + copied > 200_000
    assert result.document["bytes"]["read"] < 10_000
    assert "kept 2 images of the archive: " in tarkit("copy", f"{source}:a:1", f"{out}:z").err


@FORMATS
def test_work_is_linear_in_the_number_of_images(
    tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Archive.find
    calls = 0

    def counted(self: Archive, name: str | bytes) -> object:
        nonlocal calls
        calls += 1
        return find(self, name)

    counts = []
    for number in (10, 20, 40):
        calls = 0
        source, out = saved(tmp_path / f"{number}.tar", number), tmp_path / f"out{number}"
        with monkeypatch.context() as patch:
            patch.setattr(Archive, "find", counted)
            copy_images([source], f"{transport}:{out}", SyncOptions(all_images=True))
            copy_images([f"{source}:team/app0:1"], f"{transport}:{out}")
        counts.append(calls)
    assert counts[2] - counts[1] <= 2 * (counts[1] - counts[0]) + 2


@FORMATS
def test_layers_of_the_archive_are_reused_in_their_compression(
    tmp_path: Path, transport: str
) -> None:
    """The new image has the shared layer uncompressed, the archive compressed."""
    out = f"{transport}:{tmp_path / 'out'}"
    copy_images([f"{laid_out(tmp_path / 'in', 'a:1')}:a:1"], out)
    options = SyncOptions(copy=CopyOptions(compression=LayerCompression.GZIP))
    source = saved(tmp_path / "save.tar", 2)
    (image,) = copy_images([f"{source}:team/app1:1"], out, options).images
    assert image.result is not None
    assert image.result.reused == 1
    assert image.result.bytes_read < 20_000
