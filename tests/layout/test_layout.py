"""Read layouts: images by name and position, verified manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit.errors import (
    AmbiguousImageError,
    BlobNotFoundError,
    DigestMismatchError,
    ImageNotFoundError,
    LimitExceededError,
    MalformedError,
    SizeMismatchError,
)
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index
from tarkit.transports.oci_layout.reader import OCILayoutReader
from tests.builders import (
    REF_NAME,
    Doc,
    Files,
    Layout,
    dump,
    layout_of,
    make_image,
    multi_platform,
    named,
    on,
    write_files,
)

ONE, TWO = make_image("one"), make_image("two")


def opened(tmp_path: Path, files: Files) -> OCILayoutReader:
    return OCILayoutReader.open(write_files(tmp_path / "layout", files))


@pytest.fixture
def two(tmp_path: Path) -> OCILayoutReader:
    """Two images that share the tag ``latest``, named as Docker does."""
    layout = Layout()
    return opened(
        tmp_path,
        layout.finish(
            named(layout.image(ONE), "latest", "docker.io/library/one:latest"),
            named(layout.image(TWO), "latest", "example.org/two:latest"),
        ),
    )


def digest_of(reader: OCILayoutReader, name: str | None = None, index: int | None = None) -> str:
    return str(reader.source(name, index=index).manifest().digest)


def test_the_only_image_needs_no_name(tmp_path: Path) -> None:
    reader = opened(tmp_path, layout_of(ONE, "app"))
    assert [image.names for image in reader.images()] == [("app",)]
    assert digest_of(reader) == digest_of(reader, "app") == digest_of(reader, index=0)


def test_an_unnamed_image_is_selected_by_position(tmp_path: Path) -> None:
    reader = opened(tmp_path, layout_of(ONE, None))
    assert reader.images()[0].label == "@0"
    assert reader.source().names == ()


def test_full_names_always_work(two: OCILayoutReader) -> None:
    assert digest_of(two, "docker.io/library/one:latest") == digest_of(two, index=0)
    assert digest_of(two, "example.org/two:latest") == digest_of(two, index=1)


@pytest.mark.parametrize("name", ["one", "one:latest", "library/one"])
def test_a_full_name_may_be_written_short(two: OCILayoutReader, name: str) -> None:
    assert digest_of(two, name) == digest_of(two, index=0)


def test_a_shared_tag_is_ambiguous(two: OCILayoutReader) -> None:
    with pytest.raises(AmbiguousImageError, match="several images are named 'latest'") as caught:
        two.source("latest")
    assert caught.value.available == ("docker.io/library/one:latest", "example.org/two:latest")


def test_a_name_is_required_for_several_images(two: OCILayoutReader) -> None:
    with pytest.raises(AmbiguousImageError, match="contains 2 images and none was selected"):
        two.source()


def test_an_unknown_name_lists_the_known_ones(two: OCILayoutReader) -> None:
    with pytest.raises(ImageNotFoundError, match=r"no image 'three'; available: .*one:latest"):
        two.source("three")


def test_an_unknown_position_reports_the_number_of_images(two: OCILayoutReader) -> None:
    with pytest.raises(ImageNotFoundError, match="no image @5: there are 2 images, @0 to @1"):
        two.source(index=5)


def test_a_layout_without_images(tmp_path: Path) -> None:
    reader = opened(tmp_path, Layout().finish())
    assert reader.images() == ()
    with pytest.raises(ImageNotFoundError, match="contains no image"):
        reader.source()


def test_one_image_under_two_names_is_one(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    reader = opened(tmp_path, layout.finish(named(entry, "a"), named(entry, "b")))
    assert digest_of(reader) == digest_of(reader, "a") == digest_of(reader, "b")


def test_a_name_may_be_any_text(tmp_path: Path) -> None:
    name = "Any Text: with/everything@ü"
    assert digest_of(opened(tmp_path, layout_of(ONE, name)), name)


def test_a_flat_index_of_platforms_is_one_image(tmp_path: Path) -> None:
    layout = Layout()
    files = layout.finish(
        on(layout.image(ONE), "linux/amd64"), on(layout.image(TWO), "linux/arm64")
    )
    reader = opened(tmp_path, files)
    assert len(reader.images()) == 1
    assert reader.source().manifest().data == files["index.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"oci-layout": None}, "the oci-layout file is missing"),
        ({"oci-layout": b"{}"}, "layout version ''"),
        (
            {"oci-layout": b'{"imageLayoutVersion": "2.0.0"}'},
            "layout version '2.0.0', expected 1.0.0",
        ),
        ({"oci-layout": b"nonsense"}, "not JSON"),
        ({"index.json": None}, r"index\.json is missing"),
        ({"index.json": b"[]"}, "expected a JSON object, got a list"),
        ({"index.json": b'{"schemaVersion": 1}'}, "schemaVersion is 1, not 2"),
        ({"index.json": dump({"schemaVersion": 2, "manifests": [{}]})}, "malformed digest"),
    ],
    ids=str,
)
def test_not_a_layout(tmp_path: Path, change: dict[str, bytes | None], message: str) -> None:
    changed = layout_of(ONE) | change
    files = {name: data for name, data in changed.items() if data is not None}
    with pytest.raises(MalformedError, match=message):
        opened(tmp_path, files)


def test_a_manifest_altered_by_one_byte(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    name = f"blobs/sha256/{entry['digest'][7:]}"
    layout.files[name] = layout.files[name].replace(b'"layers"', b'"lbyers"')
    with pytest.raises(DigestMismatchError):
        opened(tmp_path, layout.finish(entry)).source().manifest()


@pytest.mark.parametrize("by", [-1, 1])
def test_a_manifest_with_a_wrong_size(tmp_path: Path, by: int) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    reader = opened(tmp_path, layout.finish(entry | {"size": entry["size"] + by}))
    with pytest.raises(SizeMismatchError):
        reader.source().manifest()


def test_a_manifest_too_large_to_read(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE) | {"size": 1 << 40}
    with pytest.raises(LimitExceededError, match=f"manifest too large: {1 << 40} bytes"):
        opened(tmp_path, layout.finish(entry)).source().manifest()


def test_an_index_too_large_to_read(tmp_path: Path) -> None:
    files = layout_of(ONE)
    files["index.json"] += b" " * (4 << 20)
    with pytest.raises(LimitExceededError):
        opened(tmp_path, files)


def test_a_missing_manifest(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    del layout.files[f"blobs/sha256/{entry['digest'][7:]}"]
    with pytest.raises(BlobNotFoundError, match="is missing"):
        opened(tmp_path, layout.finish(entry)).source().manifest()


def test_only_manifests_below_the_top_are_returned(tmp_path: Path) -> None:
    layout = Layout()
    other = layout.image(TWO)
    source = opened(tmp_path, layout.finish(named(layout.image(ONE), "x"))).source()
    with pytest.raises(BlobNotFoundError, match="is not part of the image"):
        source.manifest(Digest.parse(other["digest"]))


def test_sha512(tmp_path: Path) -> None:
    layout = Layout()
    entry: Doc = layout.image(ONE)
    data = layout.files.pop(f"blobs/sha256/{entry['digest'][7:]}")
    digest = Digest.of(data, "sha512")
    layout.files[f"blobs/sha512/{digest.hex}"] = data
    reader = opened(tmp_path, layout.finish(entry | {"digest": str(digest)}))
    assert reader.source().manifest().data == data


def test_holds(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    source = opened(tmp_path, layout.finish(index)).source()
    amd64, arm64 = Index.parse(source.manifest()).manifests
    (tmp_path / "layout" / "blobs" / "sha256" / arm64.digest.hex).unlink()
    assert source.holds(amd64)
    assert not source.holds(arm64)


def test_the_where_of_an_error_is_the_layout(tmp_path: Path) -> None:
    reader = opened(tmp_path, layout_of(ONE, "app"))
    with pytest.raises(ImageNotFoundError) as caught:
        reader.source("x")
    assert str(caught.value).startswith(str(tmp_path / "layout"))
    assert caught.value.available == ("app",)


def test_other_annotations_are_no_name(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE) | {"annotations": {REF_NAME: "", "other": "x"}}
    assert opened(tmp_path, layout.finish(entry)).images()[0].names == ()
