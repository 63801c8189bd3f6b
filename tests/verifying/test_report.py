"""Test that one report covers all images, or only the selected one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.hostile.image import (
    BLOBS,
    CONFIG,
    INDEX_TYPE,
    LAYER_PATH,
    LAYERS,
    MANIFEST_JSON,
    MANIFEST_TYPE,
    REMOVED,
    Patch,
    blob_path,
    descriptor,
    docker,
    docker_members,
    gz,
    image_files,
    index_of,
    layout,
    layout_around,
    replacing,
    sha256,
    to_json,
    without,
    write_files,
)
from fixtures.hostile.legacy import CHILD, PARENT, legacy
from fixtures.hostile.tarball import Entry, Members, tar
from tarkit.errors import (
    AmbiguousImageError,
    ImageNotFoundError,
    NotAnImageError,
    PathNotFoundError,
    UsageError,
)
from tarkit.findings import Severity
from tarkit.verifying.runner import verify

IN_TOTO = "application/vnd.in-toto+json"


def rules(location: str) -> list[str]:
    return [finding.rule for finding in verify(location).findings]


def two_images(edit: Members | None = None) -> bytes:
    """Return two images with the same layers and different histories."""
    members = docker_members()
    other = {**CONFIG, "history": [{}] * 5}
    second = {**MANIFEST_JSON[0], "Config": "second.json", "RepoTags": ["hostile:2"]}
    members["second.json"] = to_json(other)
    members["manifest.json"] = to_json([MANIFEST_JSON[0], second])
    return tar({**members, **(edit or {})})


def test_all_defects_are_reported(tmp_path: Path) -> None:
    def edit(members: Members) -> None:
        members["2/layer.tar"] = gz(LAYERS[1])[:-20]
        members["stray"] = b"x"
        members["blobs/sha256/" + "0" * 64] = b"not that"
        files, _ = image_files(config={("author",): "someone else"})
        index = index_of({"mediaType": "x/y", "digest": sha256(b""), "size": 0})
        members.update(layout_around(files, index))
        members["oci-layout"] = b"{}"

    path = docker(
        {(0, "Layers", 0): "3/layer.tar"},
        {("history",): [{}], ("config", "Env"): 7},
        edit=edit,
        pack=lambda data: data[:-1024],
    )(tmp_path)
    report = verify(str(path))
    found = {(finding.rule, finding.where) for finding in report.findings}
    assert found >= {
        ("missing-trailer", str(path)),
        ("schema", "config.json"),
        ("history-too-short", "config.json"),
        ("missing-blob", "manifest.json"),
        ("corrupt-layer", "2/layer.tar"),
        ("schema", "oci-layout"),
        ("missing-blob", "index.json"),
        ("digest-mismatch", "blobs/sha256/" + "0" * 64),
    }
    assert not report.ok


def test_errors_come_first(tmp_path: Path) -> None:
    path = docker(edit=replacing("stray", b"x"), config={("history",): [{}] * 3})(tmp_path)
    severities = [finding.severity for finding in verify(str(path)).findings]
    assert severities == [Severity.ERROR, Severity.NOTE]


def test_shared_broken_layer_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "two.tar"
    path.write_bytes(two_images({"1/layer.tar": LAYERS[1]}))
    assert rules(str(path)).count("diff-id-mismatch") == 1


def test_name_or_position_selects_an_image(tmp_path: Path) -> None:
    path = tmp_path / "two.tar"
    path.write_bytes(two_images({"stray": b"x"}))
    assert rules(f"docker-archive:{path}") == ["history-too-long", "unreferenced"]
    assert rules(f"docker-archive:{path}:hostile:1") == []
    assert rules(f"docker-archive:{path}:@1") == ["history-too-long"]
    with pytest.raises(ImageNotFoundError):
        verify(f"docker-archive:{path}:other:1")
    with pytest.raises(ImageNotFoundError):
        verify(f"docker-archive:{path}:@2")


def test_name_selects_an_image_of_a_layout(tmp_path: Path) -> None:
    good, first = image_files()
    bad, second = image_files(config={("history",): [{}] * 3})
    name = "org.opencontainers.image.ref.name"
    entries = [
        descriptor(first, MANIFEST_TYPE, annotations={name: "good"}),
        descriptor(second, MANIFEST_TYPE, annotations={name: "bad"}),
        descriptor(first, MANIFEST_TYPE, annotations={name: "both"}),
        descriptor(second, MANIFEST_TYPE, annotations={name: "both"}),
    ]
    files = layout_around({**good, **bad}, index_of(*entries))
    path = write_files(tmp_path / "layout", files)
    (tmp_path / "archive.tar").write_bytes(tar(files))
    for place in (f"oci:{path}", f"oci-archive:{tmp_path / 'archive.tar'}"):
        assert rules(place) == ["history-too-long"]
        assert rules(f"{place}:good") == rules(f"{place}:@0") == []
        assert rules(f"{place}:bad") == ["history-too-long"]
        with pytest.raises(AmbiguousImageError):
            verify(f"{place}:both")


def test_other_files_raise(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.tar").write_bytes(tar({"file": b"x"}))
    for path in (tmp_path / "empty", tmp_path / "file.tar"):
        with pytest.raises(NotAnImageError):
            verify(str(path))
    for location in ("oci:{}", "dir:{}", "docker-archive:{}", "{}"):
        with pytest.raises(PathNotFoundError):
            verify(location.format(tmp_path / "nowhere"))
    with pytest.raises(UsageError):
        verify("oci:-")


def test_stated_transport_matters(tmp_path: Path) -> None:
    (tmp_path / "file.tar").write_bytes(tar({}))
    assert rules(f"docker-archive:{tmp_path / 'file.tar'}") == ["missing-document"]
    assert rules(f"oci-archive:{tmp_path / 'file.tar'}") == ["missing-document"] * 2
    assert rules(f"oci:{tmp_path}") == ["missing-document"] * 2
    assert rules(f"dir:{tmp_path}") == ["missing-document"]


def test_all_duplicate_members_are_verified(tmp_path: Path) -> None:
    path = tmp_path / "twice.tar"
    path.write_bytes(tar([("1/layer.tar", LAYERS[1]), *docker_members().items()]))
    assert rules(str(path)) == ["diff-id-mismatch", "duplicate-member"]


def test_repeated_layer_may_be_stored_once(tmp_path: Path) -> None:
    path = docker(
        {(0, "Layers"): ["1/layer.tar", "2/layer.tar", "3/layer.tar"]},
        {
            ("rootfs", "diff_ids"): [sha256(LAYERS[0]), sha256(LAYERS[1]), sha256(LAYERS[0])],
            ("history",): REMOVED,
        },
    )(tmp_path)
    assert rules(str(path)) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"size": len(LAYERS[0])}, []),
        ({"size": 7}, ["size-mismatch"]),
        ({"size": len(LAYERS[0]), "digest": sha256(b"")}, ["digest-mismatch"]),
        ({"size": 7, "digest": sha256(b""), "urls": ["https://example.org/layer"]}, []),
    ],
)
def test_layer_sources_are_compared_with_the_layers(
    tmp_path: Path, source: dict[str, object], expected: list[str]
) -> None:
    whole = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": sha256(LAYERS[0])}
    path = docker({(0, "LayerSources"): {sha256(LAYERS[0]): whole | source}})(tmp_path)
    assert rules(str(path)) == expected


def test_an_attestation_is_an_artifact(tmp_path: Path) -> None:
    statement = b"{}"
    config = {**CONFIG, "rootfs": {"type": "layers", "diff_ids": [sha256(statement)]}}
    files, first = image_files()
    second = to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(to_json(config), "application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor(statement, IN_TOTO)],
        }
    )
    unknown = {"os": "unknown", "architecture": "unknown"}
    index = to_json(
        index_of(
            descriptor(first, MANIFEST_TYPE, platform={"os": "linux", "architecture": "amd64"}),
            descriptor(second, MANIFEST_TYPE, platform=unknown),
        )
    )
    files |= {blob_path(data): data for data in (statement, to_json(config), second, index)}
    top = index_of(descriptor(index, INDEX_TYPE))
    path = write_files(tmp_path / "layout", layout_around(files, top))
    assert rules(str(path)) == ["artifact"]
    (path / blob_path(statement)).write_bytes(b"[]")
    assert rules(str(path)) == ["digest-mismatch", "artifact"]


def test_an_index_without_any_of_its_platforms_is_bad(tmp_path: Path) -> None:
    child = descriptor(b"absent", MANIFEST_TYPE)
    platforms = [
        {**child, "platform": {"os": "linux", "architecture": name}} for name in ("arm", "s390x")
    ]
    path = write_files(tmp_path / "layout", layout_around({}, index_of(*platforms)))
    assert rules(str(path)) == ["missing-blob"] * 2


def test_unreferenced_blob_is_compared_with_its_name(tmp_path: Path) -> None:
    path = layout(edit=replacing(f"blobs/sha256/{'0' * 64}", b"x"))(tmp_path)
    assert rules(str(path)) == ["digest-mismatch", "unreferenced"]


def test_stored_foreign_layer_is_verified(tmp_path: Path) -> None:
    urls: Patch = {("layers", 0, "urls"): ["https://example.org/layer"]}
    path = layout(manifest=urls, edit=replacing(LAYER_PATH, BLOBS[1]))(tmp_path)
    assert "digest-mismatch" in rules(str(path))
    path = layout(manifest=urls, edit=without(LAYER_PATH))(tmp_path / "absent")
    assert rules(str(path)) == ["missing-blob"]


def test_loose_files_are_verified(corpus: Path, tmp_path: Path) -> None:
    directory = tmp_path / "dir"
    directory.mkdir()
    for path in (corpus / "skopeo-dir").iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    (directory / ("e" * 64)).write_bytes(b"x")
    assert rules(f"dir:{directory}") == ["digest-mismatch", "unreferenced"]
    (directory / ("e" * 64)).unlink()
    (directory / ("f" * 64)).symlink_to("nowhere")
    assert rules(f"dir:{directory}") == []
    (directory / ("f" * 64)).unlink()
    largest = max(directory.iterdir(), key=lambda path: path.stat().st_size)
    largest.rename(tmp_path / "elsewhere")
    assert rules(f"dir:{directory}") == ["missing-blob"]
    largest.symlink_to(tmp_path / "elsewhere")
    assert rules(f"dir:{directory}") == ["unsafe-path"]


def test_legacy_archives_are_verified(tmp_path: Path) -> None:
    def build(name: str, **changes: object) -> str:
        directory = tmp_path / name
        directory.mkdir()
        return f"docker-archive:{legacy(**changes)(directory)}"  # type: ignore[arg-type]

    assert rules(build("good")) == []
    assert rules(build("good-named") + ":hostile:1") == []
    assert rules(build("loop", parent={"parent": CHILD})) == ["malformed-document"]
    assert rules(build("layer", edit=without(f"{PARENT}/layer.tar"))) == ["missing-blob"]
    assert rules(build("json", edit=without(f"{PARENT}/json"))) == ["missing-blob"]
    cut = replacing(f"{PARENT}/layer.tar", Entry(BLOBS[0][:-9]))
    assert rules(build("cut", edit=cut)) == ["corrupt-layer"]
    assert rules(build("list", edit=replacing("repositories", b"[]"))) == ["malformed-document"]
    assert rules(build("none", edit=replacing("repositories", b"{}")))[0] == "no-images"
    with pytest.raises(ImageNotFoundError):
        verify(build("other") + ":hostile:2")


def test_each_finding_is_one_line(tmp_path: Path) -> None:
    path = docker({(0, "Config"): "a\nb\x1b[2J\ud800" + "x" * 5000})(tmp_path)
    for finding in verify(str(path)).findings:
        text = f"{finding.where} {finding.message}"
        assert text.isprintable()
        assert len(text) < 1500
