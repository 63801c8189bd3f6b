"""Read and write skopeo's ``dir:`` images."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    ImageNotFoundError,
    MalformedError,
    PathNotFoundError,
    RefusedError,
    UnsafePathError,
    VerificationError,
)
from tarkit.streams.directory import Directory
from tarkit.transports.directory.reader import DirectoryReader
from tarkit.transports.directory.writer import DirectoryWriter
from tests.builders import (
    Layout,
    copy,
    layout_of,
    leftovers,
    listing,
    load,
    make_image,
    multi_platform,
    named,
    read_files,
    sha256,
    squeeze,
    write_files,
)

ONE = make_image("base", "one")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A ``dir:`` image, copied from the layout beside it."""
    write_files(tmp_path / "layout", layout_of(ONE))
    copy(f"oci:{tmp_path / 'layout'}", f"dir:{tmp_path / 'image'}")
    return tmp_path / "image"


def test_the_files_match_skopeo(image: Path) -> None:
    files = read_files(image)
    assert files["version"] == b"Directory Transport Version: 1.1\n"
    assert files[ONE.digest[7:]] == ONE.config
    for layer in ONE.layers:
        assert files[sha256(squeeze(layer))[7:]] == squeeze(layer)
    assert len(files) == 5


def test_the_manifest_is_unchanged(image: Path) -> None:
    original = read_files(image.parent / "layout")
    assert read_files(image)["manifest.json"] in original.values()


def test_an_index_has_its_manifests_beside_it(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "layout", layout.finish(named(index, "x")))
    copy(f"oci:{tmp_path / 'layout'}", f"dir:{tmp_path / 'image'}", all=True)
    files = read_files(tmp_path / "image")
    assert sha256(files["manifest.json"]) == index["digest"]
    for child in load(layout.files, index)["manifests"]:
        assert sha256(files[f"{child['digest'][7:]}.manifest.json"]) == child["digest"]


def test_it_holds_one_unnamed_image(image: Path) -> None:
    with DirectoryReader.open(image) as reader:
        assert [entry.names for entry in reader.images()] == [()]
        assert reader.source(index=0).names == ()
        with pytest.raises(ImageNotFoundError, match="the directory holds one unnamed image"):
            reader.source("x")
        with pytest.raises(ImageNotFoundError, match="the directory holds one unnamed image"):
            reader.source(index=1)


def test_an_existing_image_is_replaced(image: Path) -> None:
    two = make_image("base", "two")
    write_files(image.parent / "layout-two", layout_of(two))
    copy(f"oci:{image.parent / 'layout-two'}", f"dir:{image}")
    files = read_files(image)
    assert two.digest[7:] in files
    assert ONE.digest[7:] not in files
    assert leftovers(image.parent) == []


def test_a_link_to_the_directory_is_followed(image: Path) -> None:
    link = image.parent / "link"
    link.symlink_to(image.name)
    two = make_image("base", "two")
    write_files(image.parent / "layout-two", layout_of(two))
    copy(f"oci:{image.parent / 'layout-two'}", f"dir:{link}")
    assert link.is_symlink()
    assert two.digest[7:] in read_files(image)
    assert leftovers(image.parent) == []


def test_a_signal_between_the_two_renames_brings_the_old_image_back(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_files(image)
    move = Directory.move

    def interrupted(self: Directory, name: str, target: Directory, new_name: str) -> None:
        if new_name == image.name and not name.endswith(".old"):
            raise KeyboardInterrupt
        move(self, name, target, new_name)

    monkeypatch.setattr(Directory, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        copy(f"oci:{image.parent / 'layout'}", f"dir:{image}")
    assert read_files(image) == before
    assert leftovers(image.parent) == []


@pytest.mark.parametrize("before", [True, False])
def test_an_empty_directory_is_filled(image: Path, before: bool) -> None:
    if before:
        (image.parent / "new").mkdir()
    copy(f"dir:{image}", f"dir:{image.parent / 'new'}")
    assert read_files(image.parent / "new") == read_files(image)


def test_anything_else_at_the_path_is_kept(image: Path) -> None:
    (image.parent / "other").mkdir()
    (image.parent / "other" / "file").write_bytes(b"mine")
    (image.parent / "file").write_bytes(b"mine")
    for name in ("other", "file"):
        with pytest.raises(RefusedError, match="exists and is not a dir: image"):
            copy(f"dir:{image}", f"dir:{image.parent / name}")
    assert listing(image.parent / "other") == ["file"]


def test_a_failure_leaves_the_old_image(image: Path) -> None:
    before = read_files(image)
    files = layout_of(make_image("base", "two"))
    files[f"blobs/sha256/{sha256(squeeze(ONE.layers[0]))[7:]}"] = b"x"
    write_files(image.parent / "bad", files)
    with pytest.raises(VerificationError):
        copy(f"oci:{image.parent / 'bad'}", f"dir:{image}")
    assert read_files(image) == before
    assert leftovers(image.parent) == []


def test_nothing_is_written_without_a_commit(tmp_path: Path) -> None:
    with DirectoryWriter.open(tmp_path / "image"):
        pass
    assert listing(tmp_path) == []


def test_not_an_image(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        DirectoryReader.open(tmp_path / "gone")
    with pytest.raises(MalformedError, match=r"manifest\.json is missing"):
        DirectoryReader.open(tmp_path)


def test_missing_and_altered_blobs(image: Path) -> None:
    config = image / ONE.digest[7:]
    config.write_bytes(ONE.config.replace(b"linux", b"linus"))
    with pytest.raises(DigestMismatchError):
        copy(f"dir:{image}", f"dir:{image.parent / 'out'}")
    config.unlink()
    with pytest.raises(BlobNotFoundError):
        copy(f"dir:{image}", f"dir:{image.parent / 'out'}")


@pytest.mark.skipif(os.name != "posix", reason="symlinks need rights elsewhere")
def test_a_link_out_is_refused(image: Path) -> None:
    config = image / ONE.digest[7:]
    config.rename(image.parent / "secret")
    config.symlink_to("../secret")
    with pytest.raises(UnsafePathError):
        copy(f"dir:{image}", f"dir:{image.parent / 'out'}")


def test_an_altered_child_manifest(tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64")
    write_files(tmp_path / "layout", layout.finish(named(index, "x")))
    copy(f"oci:{tmp_path / 'layout'}", f"dir:{tmp_path / 'image'}", all=True)
    child = next((tmp_path / "image").glob("*.manifest.json"))
    child.write_bytes(child.read_bytes() + b" ")
    with pytest.raises(DigestMismatchError):
        copy(f"dir:{tmp_path / 'image'}", f"dir:{tmp_path / 'out'}", all=True)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_modes_do_not_depend_on_the_umask(image: Path) -> None:
    before = os.umask(0o077)
    try:
        copy(f"dir:{image}", f"dir:{image.parent / 'out'}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((image.parent / "out").stat().st_mode) == 0o755
    for path in (image.parent / "out").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_docker_manifests_are_kept(tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE, docker=True)
    write_files(tmp_path / "layout", layout.finish(entry))
    copy(f"oci:{tmp_path / 'layout'}", f"dir:{tmp_path / 'image'}")
    assert sha256((tmp_path / "image" / "manifest.json").read_bytes()) == entry["digest"]
