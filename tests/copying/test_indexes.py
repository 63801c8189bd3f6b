"""Test copies of indexes: one, several or all platforms, kept, stripped or refused."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression, Sparse
from tarkit.errors import (
    BlobNotFoundError,
    CannotModifyError,
    ImageNotFoundError,
    ManifestRejectedError,
    TarkitError,
)
from tarkit.image.media_types import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST
from tarkit.image.platform import Platform
from tarkit.transports.docker_archive.format import DockerFormat
from tests.builders import (
    Doc,
    Files,
    Image,
    Layout,
    check_layout,
    copy,
    dump,
    listing,
    load,
    make_image,
    multi_platform,
    named,
    on,
    read_files,
    squeeze,
    write_files,
)
from tests.copying.fakes import FakeDestination, FakeSource

ARCHITECTURES = ("amd64", "arm64", "s390x")


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Image]:
    """Write a layout ``in`` with an index of three platforms."""
    layout, index, images = multi_platform(*ARCHITECTURES)
    write_files(tmp_path / "in", layout.finish(named(index, "x")))
    return images


def platforms(*architectures: str) -> list[Platform]:
    return [Platform("linux", architecture) for architecture in architectures]


def copied(tmp_path: Path, **options: object) -> tuple[Files, Doc, tuple[str, ...]]:
    """Copy ``in``; return the new layout, its entry, and the notes."""
    result = copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}:x", **options)  # type: ignore[arg-type]
    files = read_files(tmp_path / "out")
    return files, check_layout(files)["manifests"][0], result.notes


def remove_platform(tmp_path: Path, architecture: str) -> None:
    files = read_files(tmp_path / "in")
    index = load(files, check_layout(files)["manifests"][0])
    (gone,) = (c for c in index["manifests"] if c["platform"]["architecture"] == architecture)
    (tmp_path / "in" / "blobs" / "sha256" / gone["digest"][7:]).unlink()


def architectures_in(files: Files, entry: Doc) -> list[str]:
    return [child["platform"]["architecture"] for child in load(files, entry)["manifests"]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_platform_is_one_image(
    tmp_path: Path, images: dict[str, Image], architecture: str
) -> None:
    files, entry, notes = copied(tmp_path, platforms=platforms(architecture))
    assert load(files, entry)["config"]["digest"] == images[architecture].digest
    assert notes == ()


def test_the_systems_platform_is_the_default(
    tmp_path: Path, images: dict[str, Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Platform, "system", lambda: Platform("linux", "s390x"))
    files, entry, _ = copied(tmp_path)
    assert load(files, entry)["config"]["digest"] == images["s390x"].digest


@pytest.mark.usefixtures("images")
def test_missing_platform_lists_available_ones(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFoundError, match=r"no image for linux/arm; .*linux/s390x"):
        copied(tmp_path, platforms=platforms("arm"))
    assert listing(tmp_path) == ["in"]


def test_the_platform_of_an_image_without_an_index_is_checked(tmp_path: Path) -> None:
    layout = Layout()
    write_files(tmp_path / "in", layout.finish(layout.image(make_image("one"))))
    with pytest.raises(
        ImageNotFoundError, match=r"no image for linux/arm64; available: linux/amd64"
    ):
        copied(tmp_path, platforms=platforms("arm64"))
    files, entry, _ = copied(tmp_path, platforms=platforms("amd64"))
    assert "layers" in load(files, entry)


@pytest.mark.usefixtures("images")
def test_several_platforms_are_a_smaller_index(tmp_path: Path) -> None:
    files, entry, notes = copied(tmp_path, platforms=platforms("s390x", "amd64"))
    assert architectures_in(files, entry) == ["amd64", "s390x"]
    assert notes == ("the index was rewritten without 1 of its manifests",)


@pytest.mark.usefixtures("images")
def test_sparse_index_can_be_kept(tmp_path: Path) -> None:
    before = check_layout(read_files(tmp_path / "in"))["manifests"][0]["digest"]
    files, entry, notes = copied(
        tmp_path, platforms=platforms("s390x", "amd64"), sparse=Sparse.KEEP
    )
    assert entry["digest"] == before
    assert architectures_in(files, entry) == list(ARCHITECTURES)
    assert notes == ("1 of 3 manifests of the index were not copied",)


@pytest.mark.parametrize("asked", [platforms("s390x"), []])
def test_index_can_be_kept_with_one_platform(
    tmp_path: Path,
    images: dict[str, Image],
    asked: list[Platform],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Platform, "system", lambda: Platform("linux", "s390x"))
    before = check_layout(read_files(tmp_path / "in"))["manifests"][0]["digest"]
    files, entry, notes = copied(tmp_path, platforms=asked, sparse=Sparse.KEEP)
    assert entry["digest"] == before
    assert architectures_in(files, entry) == list(ARCHITECTURES)
    assert notes == ("2 of 3 manifests of the index were not copied",)
    result = copy(
        f"oci:{tmp_path / 'out'}", f"oci:{tmp_path / 'one'}", platforms=platforms("s390x")
    )
    files = read_files(tmp_path / "one")
    top = {"digest": str(result.descriptor.digest), "size": result.descriptor.size}
    assert load(files, top)["config"]["digest"] == images["s390x"].digest


def test_kept_index_refers_to_changed_images(tmp_path: Path, images: dict[str, Image]) -> None:
    """Recompressed layers change the digest of the image; the old digest is gone."""
    files, entry, _ = copied(
        tmp_path,
        platforms=platforms("s390x"),
        sparse=Sparse.KEEP,
        compression=LayerCompression.ZSTD,
    )
    assert architectures_in(files, entry) == list(ARCHITECTURES)
    (child,) = (c for c in load(files, entry)["manifests"] if in_files(files, c))
    assert child["platform"]["architecture"] == "s390x"
    assert load(files, child)["config"]["digest"] == images["s390x"].digest


def in_files(files: Files, descriptor: Doc) -> bool:
    return f"blobs/sha256/{descriptor['digest'][7:]}" in files


def test_duplicate_entries_are_both_kept(tmp_path: Path) -> None:
    layout = Layout()
    image = on(layout.image(make_image("one")), "linux/amd64")
    index = layout.index(image, image | {"annotations": {"again": "yes"}})
    write_files(tmp_path / "in", layout.finish(named(index, "x")))
    amd64 = platforms("amd64", "amd64")
    files, entry, notes = copied(tmp_path, platforms=amd64, preserve_digests=True)
    assert entry["digest"] == index["digest"]
    assert (len(load(files, entry)["manifests"]), notes) == (2, ())


@pytest.mark.usefixtures("images")
def test_an_index_that_may_not_shrink_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotModifyError, match="would remove 1 of the manifests"):
        copied(tmp_path, platforms=platforms("s390x", "amd64"), sparse=Sparse.REFUSE)
    assert listing(tmp_path) == ["in"]


@pytest.mark.usefixtures("images")
def test_whole_index_is_unchanged(tmp_path: Path) -> None:
    files, _, notes = copied(tmp_path, all=True)
    before = read_files(tmp_path / "in")
    assert {n: d for n, d in files.items() if "blobs" in n} == {
        n: d for n, d in before.items() if "blobs" in n
    }
    assert notes == ()


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("sparse", [None, Sparse.REFUSE])
def test_missing_manifests_fail_before_the_first_write(
    tmp_path: Path, sparse: Sparse | None
) -> None:
    remove_platform(tmp_path, "arm64")
    with pytest.raises(BlobNotFoundError, match=r"1 of 3 manifests .* missing \(linux/arm64\)"):
        copied(tmp_path, all=True, sparse=sparse)
    assert listing(tmp_path) == ["in"]


@pytest.mark.usefixtures("images")
def test_missing_manifests_can_be_stripped(tmp_path: Path) -> None:
    remove_platform(tmp_path, "arm64")
    files, entry, notes = copied(tmp_path, all=True, sparse=Sparse.STRIP)
    assert architectures_in(files, entry) == ["amd64", "s390x"]
    assert notes == ("the index was rewritten without 1 of its manifests",)


@pytest.mark.usefixtures("images")
def test_a_platform_that_is_there_is_read_though_others_are_missing(tmp_path: Path) -> None:
    remove_platform(tmp_path, "arm64")
    _, entry, _ = copied(tmp_path, platforms=platforms("s390x"))
    assert entry["mediaType"].endswith("manifest.v1+json")
    with pytest.raises(ImageNotFoundError, match="lists one, but it is missing"):
        copied(tmp_path, platforms=platforms("arm64"))


@pytest.mark.usefixtures("images")
def test_a_classic_docker_archive_holds_no_index(tmp_path: Path) -> None:
    with pytest.raises(ManifestRejectedError, match=r"choose an image with --platform"):
        copy(
            f"oci:{tmp_path / 'in'}",
            f"docker-archive:{tmp_path / 'a.tar'}",
            format=DockerFormat.CLASSIC,
            all=True,
        )
    assert listing(tmp_path) == ["in"]


@pytest.mark.usefixtures("images")
def test_an_index_cannot_shrink_and_keep_its_digest(tmp_path: Path) -> None:
    with pytest.raises(CannotModifyError, match="would remove 1 of the manifests"):
        copied(tmp_path, platforms=platforms("amd64", "arm64"), preserve_digests=True)
    assert listing(tmp_path) == ["in"]


def test_a_refusal_comes_before_the_first_byte() -> None:
    """The second image would have to change, so the first is not written either."""
    layout = Layout()
    good = on(layout.image(make_image("good")), "linux/amd64")
    plain = on(layout.image(make_image("plain"), pack=None), "linux/arm64")
    source = FakeSource(layout.files, layout.index(good, layout.index(plain)))
    destination = FakeDestination()
    options = CopyOptions(all=True, preserve_digests=True, compression=LayerCompression.GZIP)
    with pytest.raises(CannotModifyError):
        copy_image(source, destination, options)
    assert not destination.blobs


def test_a_docker_list_becomes_an_oci_index(tmp_path: Path) -> None:
    layout = Layout()
    children = [
        on(
            layout.image(make_image("shared", arch, architecture=arch), docker=True),
            f"linux/{arch}",
        )
        for arch in ARCHITECTURES
    ]
    entry = layout.index(*children, docker=True, vendor={"kept": 1})
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    files, entry, _ = copied(tmp_path, all=True)
    assert entry["mediaType"] == OCI_INDEX
    index = load(files, entry)
    assert index["vendor"] == {"kept": 1}
    assert architectures_in(files, entry) == list(ARCHITECTURES)
    for child in index["manifests"]:
        assert "vnd.oci" in load(files, child)["config"]["mediaType"]
    copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'same'}", all=True, preserve_digests=True)
    assert check_layout(read_files(tmp_path / "same"))["manifests"][0]["mediaType"] == DOCKER_LIST


def test_attestations_are_no_platform(tmp_path: Path) -> None:
    layout = Layout()
    attestation = layout.image(make_image("attestation")) | {
        "platform": {"architecture": "unknown", "os": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    image = make_image("one")
    entry = layout.index(attestation, on(layout.image(image), "linux/amd64"))
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    files, copied_entry, _ = copied(tmp_path, platforms=platforms("amd64"))
    assert load(files, copied_entry)["config"]["digest"] == image.digest


@pytest.mark.parametrize("first", ["images", "attestations"])
@pytest.mark.parametrize("nested", [False, True])
def test_attestations_refer_to_the_image_as_stored(
    tmp_path: Path, first: str, nested: bool
) -> None:
    layout = Layout()
    images = [
        on(layout.image(make_image("base", arch, architecture=arch)), f"linux/{arch}")
        for arch in ARCHITECTURES
    ]
    marks = "vnd.docker.reference.type", "vnd.docker.reference.digest"
    attestations = [
        on(layout.image(make_image(f"attestation {image['digest']}")), "unknown/unknown")
        | {"annotations": {marks[0]: "attestation-manifest", marks[1]: image["digest"]}}
        for image in images
    ]
    foreign = {**attestations[0], "annotations": {marks[0]: "x", marks[1]: f"sha256:{'0' * 64}"}}
    odd = {**attestations[0], "annotations": {marks[0]: "x", marks[1]: "no digest"}}
    attestations += [foreign, odd]
    both = [*images, *attestations] if first == "images" else [*attestations, *images]
    entry = layout.index(*both)
    entry = layout.index(entry, on(layout.image(make_image("z")), "a/b")) if nested else entry
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    files, now, _ = copied(tmp_path, all=True, compression=LayerCompression.ZSTD)
    index = load(files, load(files, now)["manifests"][0] if nested else now)
    children = index["manifests"]
    stored = [child["digest"] for child in children if "annotations" not in child]
    assert not set(stored) & {image["digest"] for image in images}  # they were recompressed
    references = [child["annotations"][marks[1]] for child in children if "annotations" in child]
    assert references == [*stored, f"sha256:{'0' * 64}", "no digest"]
    same = copy(f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'same'}:x", all=True)
    assert str(same.descriptor.digest) == entry["digest"]


def test_an_artifact_in_an_index_goes_along(tmp_path: Path) -> None:
    layout = Layout()
    image = on(layout.image(make_image("one")), "linux/amd64")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example",
        "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [layout.blob(b"a report", "text/plain")],
    }
    artifact = layout.blob(dump(manifest), "application/vnd.oci.image.manifest.v1+json")
    write_files(tmp_path / "in", layout.finish(named(layout.index(image, artifact), "x")))
    files, _, _ = copied(tmp_path, all=True)
    assert files == read_files(tmp_path / "in") | {
        "index.json": files["index.json"],
        "oci-layout": files["oci-layout"],
    }


def test_annotations_of_a_layer_stay_with_it(tmp_path: Path) -> None:
    """Two images annotate the same blob differently; both keep their digests."""
    layout = Layout()
    one, two = make_image("shared", "one"), make_image("shared", "two", architecture="arm64")
    entry = layout.index(
        on(layout.image(one, layer_fields=[{"annotations": {"of": "one"}}]), "linux/amd64"),
        on(layout.image(two, layer_fields=[{"annotations": {"of": "two"}}]), "linux/arm64"),
    )
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    files, now, _ = copied(tmp_path, all=True)
    assert now["digest"] == entry["digest"]
    assert files[f"blobs/sha256/{entry['digest'][7:]}"]
    plain = copy(
        f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'plain'}", all=True,
        compression=LayerCompression.NONE,
    )  # fmt: skip
    files = read_files(tmp_path / "plain")
    index = load(files, {"digest": str(plain.descriptor.digest), "size": plain.descriptor.size})
    layers = [load(files, child)["layers"][0] for child in index["manifests"]]
    assert [layer["annotations"]["of"] for layer in layers] == ["one", "two"]
    assert layers[0]["digest"] == layers[1]["digest"] == one.diff_ids[0]


def test_several_platforms_of_a_single_image_must_all_be_it(tmp_path: Path) -> None:
    layout = Layout()
    write_files(tmp_path / "in", layout.finish(layout.image(make_image("one"), pack=squeeze)))
    with pytest.raises(TarkitError, match="no image for linux/arm64"):
        copied(tmp_path, platforms=platforms("amd64", "arm64"))


def test_stale_embedded_data_are_dropped(tmp_path: Path) -> None:
    """The copy changes a manifest that its descriptor embeds, so the embedded bytes are dropped."""
    layout = Layout()
    image = on(layout.image(make_image("one")), "linux/amd64")
    data = layout.files[f"blobs/sha256/{image['digest'][7:]}"]
    image["data"] = base64.b64encode(data).decode()
    write_files(tmp_path / "in", layout.finish(named(layout.index(image), "x")))
    files, entry, _ = copied(tmp_path, all=True)
    assert load(files, entry)["manifests"] == [image]
    plain = copy(
        f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'plain'}:x", all=True,
        compression=LayerCompression.NONE,
    )  # fmt: skip
    files = read_files(tmp_path / "plain")
    (child,) = load(files, check_layout(files)["manifests"][0])["manifests"]
    assert child["digest"] != image["digest"]
    assert child.keys() == image.keys() - {"data"}
    assert plain.notes == ()


def nest(tmp_path: Path, *groups: tuple[str, ...], marked: bool = True) -> None:
    """Write an index of indexes to ``in``, one per group of architectures; ``sig`` is an artifact."""
    layout = Layout()

    def entry(name: str) -> Doc:
        if name == "sig":
            fields = {"artifactType": "application/x.sig", "schemaVersion": 2, "layers": []}
            config = layout.blob(b"{}", "application/vnd.oci.empty.v1+json")
            return layout.blob(
                dump(fields | {"mediaType": OCI_MANIFEST, "config": config}), OCI_MANIFEST
            )
        image = layout.image(make_image(name, architecture=name))
        return on(image, f"linux/{name}") if marked else image

    indexes = [layout.index(*map(entry, group)) for group in groups]
    write_files(tmp_path / "in", layout.finish(named(layout.index(*indexes), "x")))


def architecture_of(tmp_path: Path, **options: object) -> str:
    """Copy ``in``; return the config of the only image."""
    files, entry, _ = copied(tmp_path, **options)
    found: str = load(files, load(files, entry)["config"])["architecture"]
    return found


@pytest.mark.parametrize("marked", [True, False])
def test_the_systems_own_platform_is_looked_for_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    monkeypatch.setattr(Platform, "system", lambda: Platform("linux", "s390x"))
    nest(tmp_path, ("arm64",), ("amd64", "s390x"), marked=marked)
    assert architecture_of(tmp_path) == "s390x"


@pytest.mark.parametrize("marked", [True, False])
def test_only_image_is_selected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    monkeypatch.setattr(Platform, "system", lambda: Platform("linux", "s390x"))
    nest(tmp_path, (), ("sig", "arm64"), marked=marked)
    assert architecture_of(tmp_path) == "arm64"


def test_one_of_several_is_not_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Platform, "system", lambda: Platform("linux", "s390x"))
    nest(tmp_path, ("arm64",), ("amd64",))
    with pytest.raises(ImageNotFoundError, match="no image for linux/s390x"):
        copied(tmp_path)


def test_artifacts_do_not_hide_images(tmp_path: Path) -> None:
    nest(tmp_path, ("arm64", "sig"), ("amd64",))
    assert architecture_of(tmp_path, platforms=platforms("amd64")) == "amd64"
    with pytest.raises(ImageNotFoundError, match="linux/arm64, linux/amd64"):
        copied(tmp_path, platforms=platforms("s390x"))


@pytest.mark.parametrize("asked", [["s390x"], ["arm64"], ["amd64", "s390x"], ["arm64", "s390x"]])
def test_platforms_are_found_in_all_nested_indexes(tmp_path: Path, asked: list[str]) -> None:
    nest(tmp_path, ("amd64", "arm64"), ("riscv64",), ("s390x",))
    files, entry, _ = copied(tmp_path, platforms=platforms(*asked))
    if len(asked) == 1:
        found = [load(files, load(files, entry)["config"])["architecture"]]
    else:
        indexes = load(files, entry)["manifests"]
        found = [name for index in indexes for name in architectures_in(files, index)]
    assert found == asked


def test_platforms_of_nested_indexes_are_listed(tmp_path: Path) -> None:
    nest(tmp_path, ("amd64", "arm64"), ("s390x",))
    with pytest.raises(ImageNotFoundError) as caught:
        copied(tmp_path, platforms=platforms("riscv64"))
    assert caught.value.available == ("linux/amd64", "linux/arm64", "linux/s390x")


def test_entries_without_a_platform_are_told_apart_by_their_configs(tmp_path: Path) -> None:
    layout = Layout()
    entries = [layout.image(make_image(arch, architecture=arch)) for arch in ARCHITECTURES]
    write_files(tmp_path / "in", layout.finish(named(layout.index(*entries), "x")))
    files, entry, _ = copied(tmp_path, platforms=platforms("s390x"))
    assert load(files, load(files, entry)["config"])["architecture"] == "s390x"
