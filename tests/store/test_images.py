"""Images in a store: copying in and out, names, reading through indexes, and removal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.errors import ImageNotFoundError, MalformedError, RefusedError, VerificationError
from tarkit.image.digest import Digest
from tarkit.rootfs.filesystem import FileSystem
from tarkit.store import gc, layers
from tarkit.store.removal import remove_image
from tarkit.store.store import Store
from tarkit.store.verification import verify_store
from tarkit.streams import codecs
from tarkit.transports.location import Location, Transport, open_source, open_writer
from tarkit.transports.oci_layout.pruning import prune_layout
from tarkit.transports.store.reader import StoreReader
from tarkit.transports.store.writer import StoreWriter
from tests.builders import copy, image_of, layout_of, multi_platform, named, tar, write_files
from tests.store.images import content_of, copy_in, layout_at

FILES = {"etc/name": b"x" * 2000, "empty": b"", "bin/tool": b"\x7fELF"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the store that the environment selects."""
    root = tmp_path / "store"
    monkeypatch.setenv("TARKIT_STORE", str(root))
    return root


def names_at(root: Path) -> list[str]:
    with StoreReader.open(root) as reader:
        return [name for image in reader.images() for name in image.names]


def blobs(root: Path, directory: str) -> set[str]:
    return {path.name for path in (root / directory / "sha256").glob("*")}


@pytest.mark.parametrize(
    ("text", "name", "index"),
    [
        ("store:", None, None),
        ("store:alpine", "alpine", None),
        ("store:localhost:5000/a/b:c", "localhost:5000/a/b:c", None),
        ("store:@0", None, 0),
        ("store:@12", None, 12),
        ("store:@sha256:ab", "@sha256:ab", None),
        ("store:@x1y2", "@x1y2", None),
        ("store:@1234567890", "@1234567890", None),
    ],
)
def test_locations(text: str, name: str | None, index: int | None) -> None:
    location = Location.parse(text)
    assert location == Location(Transport.STORE, "", name, index)
    assert str(location) == text


def test_a_copy_keeps_digests_and_takes_a_full_name(root: Path, tmp_path: Path) -> None:
    layout = layout_at(tmp_path / "layout", "app", FILES)
    digest = copy(f"oci:{layout}", "store:app").descriptor.digest
    assert names_at(root) == ["docker.io/library/app:latest"]
    assert content_of(root, "app") == FILES
    result = copy("store:app", f"oci:{tmp_path / 'out'}:again")
    assert result.descriptor.digest == digest
    with open_source("store:@0") as first, open_source(f"store:@{digest}") as second:
        assert first.manifest() == second.manifest()
        assert first.names == second.names == ("docker.io/library/app:latest",)


def test_a_second_copy_moves_nothing(root: Path, tmp_path: Path) -> None:
    layout = layout_at(tmp_path / "layout", "app", FILES)
    copy(f"oci:{layout}", "store:app")
    again = copy(f"oci:{layout}", "store:other")
    assert (again.copied, again.reused, again.bytes_written) == (0, 2, 0)


def test_a_plain_layer_finds_its_compressed_form_by_diff_id(root: Path, tmp_path: Path) -> None:
    image = image_of([tar(FILES)])
    write_files(tmp_path / "gzip", layout_of(image))
    copy(f"oci:{tmp_path / 'gzip'}", "store:app")
    content_of(root, "app")  # now the store knows the diff ID
    write_files(tmp_path / "plain", layout_of(image, pack=None))
    result = copy(f"oci:{tmp_path / 'plain'}", f"oci:{tmp_path / 'x'}")
    assert result.copied + result.recompressed == 2
    from tarkit.copying.options import LayerCompression

    result = copy(f"oci:{tmp_path / 'plain'}", "store:b", compression=LayerCompression.GZIP)
    assert (result.recompressed, result.reused) == (0, 2)


def test_reading_again_neither_inflates_nor_parses(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_in(root, layout_at(tmp_path / "layout", "app", FILES), "app")
    assert content_of(root, "app") == FILES
    for module, name in ((layers, "decompress"), (codecs, "decompress")):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr("tarkit.rootfs.layers.decompress", None)
    monkeypatch.setattr("tarkit.rootfs.passes.TarReader", None)
    monkeypatch.setattr("tarkit.store.layers.TarReader", None)
    assert content_of(root, "app") == FILES
    with open_source("store:app") as source, FileSystem.of(source) as files:
        assert files.contents.is_intact(files.file("etc/name"))
        assert not files.contents.is_intact(files.file("empty"))


def test_a_file_with_another_content_is_not_intact(root: Path, tmp_path: Path) -> None:
    copy_in(root, layout_at(tmp_path / "layout", "app", FILES), "app")
    content_of(root, "app")
    with Store.open(root) as store:
        [layer] = store.layers.all()
        path = store.layers.path(layer.key)
    intact = path.read_bytes()
    for damaged in (intact[:512] + b"y" + intact[513:], intact[:1000]):
        path.write_bytes(damaged)
        with open_source("store:app") as source, FileSystem.of(source) as files:
            assert not files.contents.is_intact(files.file("etc/name"))
        path.write_bytes(intact)
    path.with_suffix(".sum").write_bytes(b"damaged")
    with open_source("store:app") as source, FileSystem.of(source) as files:
        assert not files.contents.is_intact(files.file("etc/name"))


def test_an_image_appears_with_all_its_content_and_leaves_with_it(
    root: Path, tmp_path: Path
) -> None:
    layout = layout_at(tmp_path / "layout", "app", FILES)
    copy_in(root, layout, "app")
    copy_in(root, layout, "twin")
    copy_in(root, layout_at(tmp_path / "other", "other", {"f": b"other"}), "other")
    assert blobs(root, "blobs") == blobs(root, "content")
    assert len(blobs(root, "content")) == 6
    content_of(root, "app")
    image, garbage = remove_image(root, "app")
    assert (image.names, garbage.blobs) == (("docker.io/library/app:latest",), ())
    image, garbage = remove_image(root, "twin")
    assert (len(garbage.blobs), len(garbage.layers)) == (3, 1)
    assert blobs(root, "blobs") == blobs(root, "content")
    assert names_at(root) == ["docker.io/library/other:latest"]
    with pytest.raises(ImageNotFoundError):
        remove_image(root, "app")
    with Store.open(root) as store:
        assert list(verify_store(store, deep=True)) == []


def test_a_name_moves_to_the_new_image(root: Path, tmp_path: Path) -> None:
    copy_in(root, layout_at(tmp_path / "one", "one", {"f": b"1"}), "app")
    copy_in(root, layout_at(tmp_path / "two", "two", {"f": b"2"}), "docker.io/library/app")
    assert names_at(root) == ["docker.io/library/app:latest"]
    assert content_of(root, "app:latest") == {"f": b"2"}
    with Store.open(root) as store:
        gc.collect(store)
    assert len(blobs(root, "content")) == 3


def test_a_failed_copy_leaves_no_name(root: Path, tmp_path: Path) -> None:
    layout = layout_at(tmp_path / "layout", "app", FILES)
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.write_bytes(layer.read_bytes()[:-1] + b"x")
    with pytest.raises(VerificationError):
        copy(f"oci:{layout}", "store:app")
    assert names_at(root) == []
    with Store.open(root) as store:
        gc.collect(store)
        assert list(store.content.walk()) == []


def test_another_tool_may_collect_garbage_in_the_layout(root: Path, tmp_path: Path) -> None:
    copy_in(root, layout_at(tmp_path / "layout", "app", FILES), "app")
    content_of(root, "app")
    with Store.open(root) as store:
        extra = store.content.add(b"content of a ref")
        lease = store.leases.create("ref", seconds=float("inf"))
        store.leases.add(lease, str(extra))
    before = {path for path in root.rglob("*") if path.is_file()}
    assert prune_layout(root) == ()
    assert before <= {path for path in root.rglob("*") if path.is_file()}


def test_blobs_that_another_tool_wrote_count(root: Path, tmp_path: Path) -> None:
    Store.open(root).close()
    layout = layout_at(tmp_path / "layout", "app", FILES)
    copy(f"oci:{layout}", f"oci:{root}:foreign")
    assert blobs(root, "content") == set()
    assert content_of(root, "foreign") == FILES
    with Store.open(root) as store:
        gc.collect(store)
    assert content_of(root, "foreign") == FILES
    assert copy(f"oci:{layout}", "store:app").reused == 2
    remove_image(root, "app")
    assert content_of(root, "foreign") == FILES


def test_a_multi_platform_image(root: Path, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "layout", layout.finish(named(index, "both")))
    copy(f"oci:{tmp_path / 'layout'}", "store:both", all=True)
    result = copy("store:both", f"oci:{tmp_path / 'out'}:both", all=True)
    assert str(result.descriptor.digest) == index["digest"]
    with Store.open(root) as store:
        assert list(verify_store(store)) == []
    child = json.loads(layout.files[f"blobs/sha256/{index['digest'][7:]}"])["manifests"][0]
    with open_source(f"store:@{child['digest']}") as source:
        assert str(source.manifest().digest) == child["digest"]


def test_what_is_no_image_is_refused(root: Path, tmp_path: Path) -> None:
    copy_in(root, layout_at(tmp_path / "layout", "app", FILES), "app")
    with Store.open(root) as store:
        digests = sorted(store.content.walk())
    with StoreReader.open(root) as reader:
        kinds = []
        for digest in digests:
            try:
                reader.source(f"@{digest}").manifest()
                kinds.append("image")
            except MalformedError:
                kinds.append("blob")
        assert sorted(kinds) == ["blob", "blob", "image"]
        for name in (f"@{Digest.of(b'')}", "@ref1", "nothing"):
            with pytest.raises(ImageNotFoundError):
                reader.source(name)


def test_refs_are_found_through_a_function(root: Path, tmp_path: Path) -> None:
    copy_in(root, layout_at(tmp_path / "layout", "app", FILES), "app")
    store = Store.open(root)
    with StoreReader(store, lambda _, name: image if name == "ref1" else None) as reader:
        image = reader.source("app")
        assert reader.source("@ref1") is image
        with pytest.raises(ImageNotFoundError, match="ref2"):
            reader.source("@ref2")


def test_only_a_new_or_empty_directory_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RefusedError, match="not a store"):
        StoreWriter.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    (tmp_path / "empty").mkdir()
    Store.open(tmp_path / "empty").close()
    Store.open(tmp_path / "empty", create=False).close()


def test_a_read_only_store_still_reads(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_in(root, layout_at(tmp_path / "layout", "app", FILES), "app")
    monkeypatch.setattr("os.access", lambda *_: False)
    before = {path for path in root.rglob("*") if "holders" not in path.parts}
    assert content_of(root, "app") == FILES
    assert before == {path for path in root.rglob("*") if "holders" not in path.parts}
    with pytest.raises(RefusedError, match="read-only"):
        open_writer("store:b")
