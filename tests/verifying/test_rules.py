"""Test that an input exists for every rule that breaks only that rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fixtures.hostile.image import (
    BLOBS,
    CONFIG,
    CONFIG_PATH,
    INDEX_TYPE,
    LAYER_PATH,
    LAYER_TYPE,
    LAYERS,
    MANIFEST_JSON,
    MANIFEST_PATH,
    MANIFEST_TYPE,
    REMOVED,
    Build,
    Edit,
    Patch,
    blob_path,
    descriptor,
    docker,
    docker_members,
    file,
    gz,
    image_files,
    index_of,
    layout,
    layout_around,
    oci_archive,
    replacing,
    sha256,
    text,
    to_json,
    without,
    write_files,
)
from fixtures.hostile.nesting import nested
from fixtures.hostile.tarball import SYMLINK, TRAILER, Entry, tar
from tarkit.findings import Finding, Report, Rule, Severity
from tarkit.verifying.runner import verify

DOCS = Path(__file__).parents[2] / "docs" / "guides" / "verifying.md"

DIGEST = "sha256:" + "d" * 64
FOREIGN_TYPE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
NAME = "io.containerd.image.name"
ONE_LAYER: Patch = {("rootfs", "diff_ids"): [sha256(LAYERS[0])]}


@dataclass(frozen=True, slots=True)
class Broken:
    """An input, the rule it breaks, and the place of the finding."""

    rule: Rule
    build: Build
    where: str
    location: str = "{path}"


def dual(tags: Mapping[str, str], names: Mapping[str, str]) -> Build:
    """Build a dual archive: images by author, with their name in each half."""

    def make() -> bytes:
        members = docker_members()
        del members["config.json"]
        items, entries = [], []
        for author, tag in tags.items():
            members[f"{author}.json"] = to_json({**CONFIG, "author": author})
            items.append({**MANIFEST_JSON[0], "Config": f"{author}.json", "RepoTags": [tag]})
        for author, name in names.items():
            files, manifest = image_files(config={("author",): author})
            members.update(files)
            entries.append(descriptor(manifest, MANIFEST_TYPE, annotations={NAME: name}))
        members["manifest.json"] = to_json(items)
        members.update(layout_around({}, index_of(*entries)))
        return tar(members)

    return file(make)


def sparse_layout(directory: Path) -> Path:
    """Build an index of two platforms, one of which is missing."""
    files, manifest = image_files()
    children = [
        descriptor(manifest, MANIFEST_TYPE, platform={"os": "linux", "architecture": "amd64"}),
        {**descriptor(b"absent", MANIFEST_TYPE), "platform": {"os": "linux", "architecture": "s390x"}},
    ]  # fmt: skip
    index = to_json(index_of(*children))
    files[blob_path(index)] = index
    return write_files(
        directory / "x", layout_around(files, index_of(descriptor(index, INDEX_TYPE)))
    )


def foreign(urls: list[str]) -> Build:
    """Build an image with a missing layer that has URLs."""
    fields: Patch = {("layers", 0, "mediaType"): FOREIGN_TYPE, ("layers", 0, "urls"): urls}
    return layout(manifest=fields, edit=without(LAYER_PATH))


def flipped(path: str, at: int) -> Edit:
    def edit(files: dict[str, Any]) -> None:
        data = bytearray(files[path])
        data[at] ^= 1
        files[path] = bytes(data)

    return edit


def linked_out(directory: Path) -> None:
    path = directory / LAYER_PATH
    target = directory.parent / "elsewhere"
    path.rename(target)
    path.symlink_to(target)


def directory_for(name: str) -> Callable[[Path], None]:
    def finish(path: Path) -> None:
        (path / name).unlink()
        (path / name).mkdir()

    return finish


WHOLE = tar(docker_members())
UNPADDED = LAYERS[0][: 512 + len(text(1))]


def in_both(rule: Rule, layer: bytes) -> list[Broken]:
    """Build a layout and an archive with *layer* first, compressed and plain."""
    config: Patch = {("rootfs", "diff_ids", 0): sha256(layer)}
    return [
        Broken(rule, layout(config=config, blobs=(gz(layer), BLOBS[1])), "blobs/.*"),
        Broken(rule, docker(config=config, layers=(layer, LAYERS[1])), "1/layer.tar"),
    ]


BROKEN = (
    Broken(Rule.ARCHIVE_TRUNCATED, file(lambda: WHOLE[:3000]), "{path}", "docker-archive:{path}"),
    Broken(Rule.ARCHIVE_MALFORMED, docker(pack=lambda d: d[:5140] + b"x" + d[5141:]), "{path}", "docker-archive:{path}"),
    Broken(Rule.MISSING_PADDING, docker(pack=lambda d: d[: -len(TRAILER) - 1]), "{path}"),
    *in_both(Rule.MISSING_PADDING, UNPADDED),
    Broken(Rule.MISSING_TRAILER, docker(pack=lambda d: d[: -len(TRAILER)]), "{path}"),
    Broken(Rule.TRAILING_BYTES, docker(pack=lambda d: d + b"behind"), "{path}"),
    Broken(
        Rule.DUPLICATE_MEMBER,
        file(lambda: tar([*docker_members().items(), ("1/layer.tar", LAYERS[0])])),
        "1/layer.tar",
    ),
    Broken(Rule.NO_IMAGES, docker({(): []}, edit=lambda m: [m.pop(n) for n in list(m)[:3]]), "manifest.json"),
    Broken(Rule.MISSING_DOCUMENT, layout(edit=without("oci-layout")), "oci-layout"),
    Broken(Rule.MALFORMED_DOCUMENT, docker(edit=replacing("config.json", b"{")), "config.json"),
    Broken(Rule.SCHEMA, layout(config={("config", "Env"): "A=1"}), "blobs/.*"),
    Broken(
        Rule.SCHEMA,
        layout(edit=replacing("oci-layout", b'{"imageLayoutVersion":"2.0.0"}')),
        "oci-layout",
    ),
    Broken(
        Rule.MEDIA_TYPE_MISMATCH,
        layout({("manifests", 0, "mediaType"): INDEX_TYPE}),
        MANIFEST_PATH,
    ),
    Broken(Rule.UNSUPPORTED, layout({("manifests", 0, "digest"): "md5:" + "a" * 32}), "index.json"),
    Broken(
        Rule.UNSUPPORTED, layout(manifest={("layers", 0, "mediaType"): "text/plain"}), "blobs/.*"
    ),
    Broken(Rule.INDEX_DEPTH, nested(20), "blobs/.*", "oci:{path}"),
    Broken(Rule.MISSING_BLOB, docker(edit=without("2/layer.tar")), "manifest.json"),
    Broken(Rule.MISSING_BLOB, layout(edit=without(LAYER_PATH)), MANIFEST_PATH),
    Broken(Rule.MISSING_BLOB, oci_archive(without(CONFIG_PATH)), MANIFEST_PATH),
    Broken(Rule.ABSENT_PLATFORM, sparse_layout, "blobs/.*"),
    Broken(Rule.ABSENT_FOREIGN_LAYER, foreign(["https://example.org/layer"]), "blobs/.*"),
    Broken(Rule.UNREFERENCED, docker(edit=replacing("stray", b"x")), "stray"),
    Broken(Rule.UNSAFE_PATH, layout(finish=linked_out), LAYER_PATH),
    Broken(
        Rule.UNSAFE_PATH,
        docker(edit=replacing("1/layer.tar", Entry(type=SYMLINK, link="../../x"))),
        "1/layer.tar",
    ),
    Broken(Rule.UNREADABLE, layout(finish=directory_for(LAYER_PATH)), LAYER_PATH),
    Broken(Rule.DIGEST_MISMATCH, layout(edit=flipped(LAYER_PATH, 500)), LAYER_PATH),
    Broken(Rule.DIGEST_MISMATCH, oci_archive(flipped(LAYER_PATH, 500)), LAYER_PATH),
    Broken(Rule.DIGEST_MISMATCH, layout(edit=flipped(CONFIG_PATH, 20)), CONFIG_PATH),
    Broken(Rule.DIGEST_MISMATCH, layout(edit=flipped(MANIFEST_PATH, 40)), MANIFEST_PATH),
    Broken(
        Rule.DIGEST_MISMATCH,
        layout({("manifests", 0, "data"): "e30="}),
        "index.json",
    ),
    Broken(Rule.SIZE_MISMATCH, layout(manifest={("layers", 0, "size"): 7}), LAYER_PATH),
    Broken(Rule.SIZE_MISMATCH, layout(manifest={("config", "size"): 7}), CONFIG_PATH),
    Broken(Rule.SIZE_MISMATCH, layout({("manifests", 0, "size"): 7}), MANIFEST_PATH),
    Broken(
        Rule.CONFIG_NAME,
        docker(
            {(0, "Config"): f"{DIGEST[7:]}.json"},
            edit=lambda m: m.update({f"{DIGEST[7:]}.json": m.pop("config.json")}),
        ),
        f"{DIGEST[7:]}.json",
    ),
    Broken(Rule.CORRUPT_LAYER, layout(blobs=(BLOBS[0][:-100], BLOBS[1])), "blobs/.*"),
    Broken(Rule.CORRUPT_LAYER, docker(layers=(BLOBS[0] + b"x", LAYERS[1])), "1/layer.tar"),
    *in_both(Rule.MALFORMED_LAYER, b"no tar" * 100),
    *in_both(Rule.MALFORMED_LAYER, UNPADDED[:-1]),
    *in_both(Rule.MALFORMED_LAYER, LAYERS[0][:600] + LAYERS[0]),
    *in_both(Rule.MALFORMED_LAYER, bytes(512) + LAYERS[0]),
    Broken(Rule.DIFF_ID_MISMATCH, layout(blobs=(gz(b"else"), BLOBS[1])), "blobs/.*"),
    Broken(
        Rule.DIFF_ID_MISMATCH,
        docker({(0, "Layers"): ["1/layer.tar", "./1/layer.tar"]}, edit=without("2/layer.tar")),
        "1/layer.tar",
    ),
    Broken(
        Rule.COMPRESSION_MISMATCH,
        layout(manifest={("layers", 0, "mediaType"): LAYER_TYPE[:-4] + "zstd"}),
        LAYER_PATH,
    ),
    Broken(
        Rule.LAYER_COUNT,
        layout(config={**ONE_LAYER, ("history",): REMOVED}),
        "blobs/.*",
    ),
    Broken(
        Rule.PLATFORM_MISMATCH,
        layout({("manifests", 0, "platform"): {"os": "linux", "architecture": "arm64"}}),
        "index.json",
    ),
    Broken(Rule.HISTORY_TOO_LONG, docker(config={("history",): [{}] * 3}), "config.json"),
    Broken(Rule.HISTORY_TOO_SHORT, docker(config={("history",): [{}]}), "config.json"),
    Broken(
        Rule.ARTIFACT,
        layout(manifest={("config", "mediaType"): "application/vnd.example.config.v1+json"}),
        "blobs/.*",
    ),
    Broken(Rule.NOT_IN_INDEX, dual({"a": "x:1", "b": ""}, {"a": "x:1"}), "manifest.json"),
    Broken(Rule.NOT_IN_MANIFEST_JSON, dual({"a": "x:1"}, {"a": "x:1", "b": ""}), "index.json"),
    Broken(
        Rule.INVALID_NAME,
        layout({("manifests", 0, "annotations"): {"org.opencontainers.image.ref.name": "a b"}}),
        "index.json",
    ),
    Broken(
        Rule.NAME_CONFLICT,
        dual({"a": "x:1", "b": "x:2"}, {"a": "x:2", "b": "x:1"}),
        "index.json",
    ),
    Broken(
        Rule.NAME_DISAGREEMENT,
        dual({"a": "x:1"}, {"a": "docker.io/library/y:1"}),
        "(index|manifest).json",
    ),
)  # fmt: skip


def findings(build: Build, directory: Path, location: str = "{path}") -> list[Finding]:
    return list(verify(location.format(path=build(directory))).findings)


def in_a_circle(directory: Path) -> None:
    path = directory / "index.json"
    path.unlink()
    path.symlink_to(path.name)


def test_circular_links_are_found(tmp_path: Path) -> None:
    found = findings(layout(finish=in_a_circle), tmp_path, "{path}")
    assert (found[0].rule, found[0].where) == (Rule.UNSAFE_PATH.id, "index.json")


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.rule.id)
def test_each_input_breaks_one_rule(broken: Broken, tmp_path: Path) -> None:
    found = findings(broken.build, tmp_path, broken.location)
    assert {finding.rule for finding in found} == {broken.rule.id}
    assert {finding.severity for finding in found} == {broken.rule.severity}
    where = broken.where.format(path=re.escape(str(tmp_path)) + ".*")
    assert all(re.fullmatch(where, finding.where) for finding in found)
    assert all(finding.message for finding in found)


def test_every_rule_is_broken_once() -> None:
    # test_bad_files.py breaks the remaining rule, which takes a failing disk
    assert {broken.rule for broken in BROKEN} == set(Rule) - {Rule.IO_ERROR}


@pytest.mark.parametrize(
    "build", [docker(), layout(), oci_archive(), dual({"a": "x:1"}, {"a": "docker.io/library/x:1"})]
)
def test_good_inputs_break_no_rule(build: Build, tmp_path: Path) -> None:
    assert findings(build, tmp_path) == []


def test_guide_documents_every_rule() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (error|warning|note) \|", DOCS.read_text("utf-8"), re.M)
    assert sorted(rows) == sorted((rule.id, rule.severity.value) for rule in Rule)


def test_only_errors_make_a_report_bad() -> None:
    reports = {
        severity: Report(
            (Finding("rule", Severity.NOTE, "", ""), Finding("rule", severity, "", ""))
        )
        for severity in Severity
    }
    assert {severity for severity, report in reports.items() if not report.ok} == {Severity.ERROR}
