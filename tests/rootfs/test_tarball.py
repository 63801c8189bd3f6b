"""Write images as tars, read back with the standard library."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from tarkit.errors import SizeMismatchError, VerificationError
from tarkit.image.descriptor import Descriptor
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.output.tarball import save_tar, stream_tar
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.tar.reader import TarReader
from tarkit.tar.sparse import logical
from tarkit.transports.location import open_source
from tests.builders import image_of, layout_of, write_files
from tests.rootfs.layers import (
    Item,
    block,
    char,
    directory,
    fifo,
    file,
    hard,
    link,
    pack,
    source_of,
    unaligned,
)
from tests.rootfs.trees import facts_of_image, facts_of_tar

BASE = [
    directory("d", 0o1777),
    file("d/a", "a" * 3000, uid=3_000_000, pax={"mtime": "1700000000.5"}),
    file("d/gone", "x"),
    file("z", "hidden"),
    hard("old", "z"),
    link("l", "d"),
    char("null", 1, 3),
    block("loop", 7, 9),
    fifo("pipe"),
    file("n" * 255),
    file("café-中文", "x", pax={"SCHILY.xattr.user.note": "hi"}),
    file("/".join(["long" * 50] * 30), "deep"),
    file("before", pax={"mtime": "-1.5"}),
]
UPPER = [file("z", "seen"), file("l/.wh.gone"), hard("d/more", "d/a"), file("latin-\udce9")]


def saved(tmp_path: Path, *layers: Sequence[Item], compressed: bool = True) -> Path:
    target = tmp_path / "out.tar"
    with source_of(tmp_path, *layers, compressed=compressed) as source:
        save_tar(source, target)
    return target


@pytest.mark.parametrize("compressed", [True, False])
def test_the_tar_is_the_image(tmp_path: Path, compressed: bool) -> None:
    target = saved(tmp_path, BASE, UPPER, compressed=compressed)
    with (
        source_of(tmp_path, BASE, UPPER, compressed=compressed) as source,
        FileSystem.of(source) as files,
    ):
        assert facts_of_tar(target) == facts_of_image(files)


def test_the_tar_does_not_depend_on_the_transport(tmp_path: Path) -> None:
    one = saved(tmp_path, BASE, UPPER).read_bytes()
    assert saved(tmp_path, BASE, UPPER, compressed=False).read_bytes() == one


def test_entries_are_sorted_and_targets_come_first(tmp_path: Path) -> None:
    layer = [file("b", "x"), hard("a", "b"), directory("c"), file("c/z"), file("c/a"), file("c.x")]
    with tarfile.open(saved(tmp_path, layer)) as archive:
        names = [(member.name, member.linkname) for member in archive]
    assert names == [
        (".", ""), ("a", ""), ("b", "a"), ("c", ""), ("c/a", ""), ("c/z", ""), ("c.x", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar.zst"])
def test_the_suffix_determines_the_compression(tmp_path: Path, suffix: str) -> None:
    plain = saved(tmp_path, BASE).read_bytes()
    target = tmp_path / f"out{suffix}"
    with source_of(tmp_path, BASE) as source:
        save_tar(source, target)
    packed = target.read_bytes()
    if suffix.endswith("zst"):
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)) as reader:
            assert reader.read() == plain
    else:
        assert gzip.decompress(packed) == plain


def test_a_pipe_gets_the_same_bytes(tmp_path: Path) -> None:
    output = io.BytesIO()
    with source_of(tmp_path, BASE) as source:
        stream_tar(source, output)
    assert output.getvalue() == saved(tmp_path, BASE).read_bytes()


def test_sparse_files_stay_sparse(tmp_path: Path) -> None:
    sparse = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "s"}
    sparse |= {"GNU.sparse.size": str(64 << 20), "GNU.sparse.map": f"{32 << 20},5"}
    target = saved(tmp_path, [file("GNUSparseFile.0/s", "hello", pax=sparse)])
    assert target.stat().st_size < 1 << 16
    with tarfile.open(target) as archive:
        content = archive.extractfile("s")
        assert content is not None
        content.seek(32 << 20)
        assert content.read(6) == b"hello\0"


def test_segments_of_sparse_files_are_whole_blocks(tmp_path: Path) -> None:
    """GNU tar expects each segment at the start of a block."""
    target = saved(tmp_path, [unaligned("s"), file("t", "after")])
    with target.open("rb") as stream:
        reader = TarReader(stream)
        found = [(member, b"".join(logical(member, reader.chunks()))) for member in reader]
    (_, _), (sparse, content), (after, last) = found
    assert sparse.sparse is not None
    assert all(segment.length % 512 == 0 for segment in sparse.sparse[:-1])
    assert content == b"A" * 100 + bytes(900) + b"B" * 100 + bytes(900)
    assert (after.name, last) == (b"t", b"after")


@pytest.mark.parametrize("pack_layer", [None, gzip.compress])
def test_an_altered_layer_leaves_nothing(tmp_path: Path, pack_layer: None) -> None:
    layer = pack([file("a", "x" * 9000)])
    files = layout_of(image_of([layer]), pack=pack_layer)
    name = next(name for name, data in files.items() if data in (layer, gzip.compress(layer)))
    files[name] = files[name][:700] + b"!" + files[name][701:]
    write_files(tmp_path / "layout", files)
    with open_source(f"oci:{tmp_path / 'layout'}") as source, pytest.raises(VerificationError):
        save_tar(source, tmp_path / "out.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["layout"]


def test_a_layer_that_changes_between_passes_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[Descriptor] = set()
    other = gzip.compress(pack([file("b", "bad" * 1000), file("a")]))
    with source_of(tmp_path, [file("b", "one" * 1000), file("a")]) as source:
        open_blob = source.open_blob

        def changing(blob: Descriptor) -> BinaryIO:
            if blob in seen and blob.digest == layers[-1].digest:
                return io.BytesIO(other)
            seen.add(blob)
            return open_blob(blob)

        layers = [layer.descriptor for layer in ImageLayers.of(source).layers]
        monkeypatch.setattr(source, "open_blob", changing)
        with pytest.raises(VerificationError):
            save_tar(source, tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_layers_without_data_are_verified_too(tmp_path: Path) -> None:
    layer = pack([file(".wh.x")])
    files = layout_of(image_of([pack([file("x")]), layer]), pack=None)
    name = next(name for name, data in files.items() if data == layer)
    files[name] = files[name][:-1] + b"!"
    write_files(tmp_path / "layout", files)
    with open_source(f"oci:{tmp_path / 'layout'}") as source, pytest.raises(VerificationError):
        save_tar(source, tmp_path / "out.tar")


def test_a_file_that_changes_while_it_is_added_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = tmp_path / "added"
    added.write_text("four")
    original = Overlay.lay

    def lay_and_change(overlay: Overlay, *arguments: object) -> None:
        original(overlay, *arguments)  # type: ignore[arg-type]
        added.write_text("longer")

    monkeypatch.setattr(Overlay, "lay", lay_and_change)
    with source_of(tmp_path, [file("a")]) as source, pytest.raises(SizeMismatchError):
        save_tar(source, tmp_path / "out.tar", overlay=Overlay().add(added, "/new"))
    assert not (tmp_path / "out.tar").exists()
