"""Test ``tarkit copy``: output, results and refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.builders import (
    REF_NAME,
    Layout,
    check_layout,
    docker_archive,
    layout_of,
    listing,
    make_image,
    multi_platform,
    named,
    names_in,
    on,
    read_files,
    tar,
    untar,
    write_files,
)
from tests.cli.conftest import ONE, TWO, Tarkit


def names(path: Path) -> list[str | None]:
    return names_in(check_layout(read_files(path) if path.is_dir() else untar(path)))


def test_stdout_holds_only_the_digest(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    result = tarkit("copy", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x")
    assert result.code == 0
    digest = check_layout(read_files(tmp_path / "out"))["manifests"][0]["digest"]
    assert result.out == f"{digest}\n"
    assert re.fullmatch(
        r"tarkit: .*copied, 2 recompressed, 0 reused; .* read, .* written\n", result.err
    )


def test_quiet_prints_only_the_digest(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    result = tarkit("copy", "-q", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x")
    assert (result.code, result.err) == (0, "")


def test_json_is_one_object_and_events_line_by_line(
    tarkit: Tarkit, save: str, tmp_path: Path
) -> None:
    result = tarkit("copy", "--json", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x")
    document = result.document
    assert document["digest"].startswith("sha256:")
    assert document["media_type"] == "application/vnd.oci.image.manifest.v1+json"
    assert document["blobs"] == {"copied": 1, "reused": 0, "recompressed": 2}
    assert document["bytes"]["read"] == sum(map(len, ONE.layers)) + len(ONE.config)
    assert document["bytes"]["written"] > 0
    assert document["names"] == ["x"]
    assert document["notes"] == []
    events = [json.loads(line) for line in result.err.splitlines()]
    assert {event["event"] for event in events} >= {"started", "finished"}
    assert events[-1] == {"event": "end"}
    assert events[-2]["total_done"] == events[-2]["total"] == sum(map(len, ONE.layers))


def test_json_with_quiet_prints_only_the_object(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    result = tarkit("copy", "--json", "-q", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x")
    assert result.err == ""
    assert result.document["digest"]


def test_names_are_inherited_if_none_is_given(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    tarkit("copy", f"{save}:@1", f"oci:{tmp_path / 'out'}")
    assert names(tmp_path / "out") == ["two:1", "two:2"]
    tarkit("copy", f"oci:{tmp_path / 'out'}:two:1", f"docker-archive:{tmp_path / 'back.tar'}")
    (item,) = json.loads(untar(tmp_path / "back.tar")["manifest.json"])
    assert item["RepoTags"] == ["docker.io/library/two:1"]


def test_bare_tags_are_not_inherited_by_docker_archives(tarkit: Tarkit, tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE, "latest"))
    assert (
        tarkit("copy", f"oci:{tmp_path / 'in'}", f"docker-archive:{tmp_path / 'o.tar'}").code == 0
    )
    (item,) = json.loads(untar(tmp_path / "o.tar")["manifest.json"])
    assert item["RepoTags"] == []


def test_more_names(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    tarkit("copy", f"{save}:one:1", f"oci:{tmp_path / 'out'}:x", "--tag", "y", "--tag", "z")
    assert names(tmp_path / "out") == ["x", "y", "z"]


def test_the_digest_in_a_file(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    file = tmp_path / "digest"
    result = tarkit("copy", f"{save}:one:1", f"oci:{tmp_path / 'o'}:x", "--digest-file", file)
    assert file.read_text() == result.out


def test_no_digest_file_of_a_copy_that_failed(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    file = tmp_path / "digest"
    assert (
        tarkit("copy", f"{save}:no:1", f"oci:{tmp_path / 'o'}:x", "--digest-file", file).code == 3
    )
    assert listing(tmp_path) == ["save.tar"]


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_images_are_added_to_existing_destinations(
    tarkit: Tarkit, save: str, tmp_path: Path, kind: str
) -> None:
    out = f"{kind}:{tmp_path / 'out'}"
    for name in ("one:1", "two:1"):
        assert tarkit("copy", f"{save}:{name}", f"{out}:{name}").code == 0
    images = tarkit("list", "--json", out).document["images"]
    assert [image["name"].removeprefix("docker.io/library/") for image in images] == [
        "one:1",
        "two:1",
    ]


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_replaced_images_are_removed(tarkit: Tarkit, save: str, tmp_path: Path, kind: str) -> None:
    out = f"{kind}:{tmp_path / 'out'}"
    for name in ("one:1", "two:1"):
        assert tarkit("copy", f"{save}:{name}", f"{out}:app:1").code == 0
    (image,) = tarkit("list", "--json", out).document["images"]
    assert image["name"] in ("app:1", "docker.io/library/app:1")
    assert tarkit("inspect", "--json", out).document["config_digest"] == TWO.digest
    if kind != "oci":
        assert ONE.config not in untar(tmp_path / "out").values()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_empty_files_are_replaced(tarkit: Tarkit, save: str, tmp_path: Path, kind: str) -> None:
    (tmp_path / "out").write_bytes(b"")
    assert tarkit("copy", f"{save}:one:1", f"{kind}:{tmp_path / 'out'}:a:1").code == 0
    assert tarkit("list", f"{kind}:{tmp_path / 'out'}").code == 0


def test_other_files_are_not_overwritten(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"my notes\n")
    run = tarkit("copy", f"{save}:one:1", f"docker-archive:{tmp_path / 'out'}:a:1")
    assert run.code == 4
    assert "it is left unchanged: remove it, or write to another file" in run.err
    assert (tmp_path / "out").read_bytes() == b"my notes\n"


def test_a_malformed_name_in_an_archive_does_not_stop_another_image(
    tarkit: Tarkit, save: str, tmp_path: Path
) -> None:
    out = docker_archive(tmp_path / "out.tar", (TWO, ["Not A Name", "two:1"]))
    assert tarkit("copy", f"{save}:one:1", f"docker-archive:{out}:one:1").code == 0
    items = json.loads(untar(out)["manifest.json"])
    assert [item["RepoTags"] for item in items] == [
        ["docker.io/library/two:1"],
        ["docker.io/library/one:1"],
    ]


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_annotations_of_other_images_are_kept(
    tarkit: Tarkit, save: str, tmp_path: Path, kind: str
) -> None:
    """Docker 29 saves two images with full names, one tag for both, and more annotations."""
    layout, out = Layout(), tmp_path / "out"
    before = [
        on(named(layout.image(image), "latest", f"docker.io/library/{name}:latest"), "linux/amd64")
        for image, name in ((ONE, "one"), (TWO, "two"))
    ]
    before[0]["annotations"]["vendor"] = "said"
    files = layout.finish(*before)
    if kind == "oci":
        write_files(out, files)
    else:
        out.write_bytes(tar(files))
    assert tarkit("copy", f"{save}:one:1", f"{kind}:{out}:new").code == 0
    after = check_layout(read_files(out) if kind == "oci" else untar(out))["manifests"]
    assert after[:2] == before
    assert tarkit("copy", f"{save}:one:1", f"{kind}:{out}:latest").code == 0
    images = tarkit("list", "--json", f"{kind}:{out}").document["images"]
    assert [image["name"] for image in images] == [
        "docker.io/library/one:latest",
        "docker.io/library/two:latest",
        "new",
        "latest",
    ]


def test_other_images_of_an_archive_are_unchanged(
    tarkit: Tarkit, save: str, tmp_path: Path
) -> None:
    """Docker 29 saves its own manifests, and a list with only one of its images."""
    layout, out = Layout(), tmp_path / "out"
    there = on(layout.image(ONE, docker=True), "linux/amd64")
    absent = there | {
        "digest": "sha256:" + "0" * 64,
        "platform": {"os": "linux", "architecture": "arm"},
    }
    entry = named(layout.index(there, absent, docker=True), "old")
    out.write_bytes(tar(layout.finish(entry)))
    assert tarkit("copy", f"{save}:two:1", f"oci-archive:{out}:new").code == 0
    files = untar(out)
    assert json.loads(files["index.json"])["manifests"][0] == entry
    result = tarkit("inspect", "--json", f"oci-archive:{out}:old", "--platform", "linux/amd64")
    assert result.document["config_digest"] == ONE.digest


def test_content_that_docker_cannot_hold_is_noted(tarkit: Tarkit, tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE, annotations={"a": "b"}))
    result = tarkit(
        "copy", f"oci:{tmp_path / 'in'}", f"docker-archive:{tmp_path / 'o.tar'}:a:1",
        "--docker-format", "classic",
    )  # fmt: skip
    assert "tarkit: omitted annotations: Docker manifests cannot store them\n" in result.err


def test_platforms(tarkit: Tarkit, tmp_path: Path) -> None:
    layout, index, images = multi_platform("amd64", "arm64", "s390x")
    write_files(tmp_path / "in", layout.finish(named(index, "x")))
    source, out = f"oci:{tmp_path / 'in'}", f"oci:{tmp_path / 'out'}"
    assert tarkit("copy", source, f"{out}:s", "--platform", "linux/s390x").code == 0
    assert (
        tarkit("inspect", "--json", f"{out}:s").document["config_digest"] == images["s390x"].digest
    )
    two = ["--platform", "linux/s390x", "--platform", "linux/arm64"]
    assert tarkit("copy", source, f"{out}:two", *two).code == 0
    document = tarkit("inspect", "--json", f"{out}:two").document
    assert [child["platform"] for child in document["manifests"]] == ["linux/arm64", "linux/s390x"]
    assert tarkit("copy", source, f"{out}:all", "--all").out.strip() == index["digest"]
    refused = tarkit("copy", source, f"{out}:both", "--all", *two)
    assert (refused.code, refused.err) == (
        2,
        "tarkit: --all and --platform are mutually exclusive\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("{save}:gone:1", "oci:{out}"), 3, "no image 'gone:1'; available: one:1, two:1, two:2"),
        (("{save}", "oci:{out}"), 6, "name one of"),
        (("docker-archive:{dir}/none.tar", "oci:{out}"), 3, "No such file"),
        (("{dir}/none.tar", "oci:{out}"), 3, "no such file or directory"),
        (("{save}:@9", "oci:{out}"), 3, "no image @9: there are 2 images"),
        (("{save}:one:1", "{out}"), 2, "no transport given for the destination"),
        (("{save}:one:1", "ocy:{out}"), 2, "unknown transport 'ocy'"),
        (("{save}:one:1", "oci:{out}:@1"), 2, "position @1"),
        (("{save}:one:1", "docker-archive:{out}:Not A Name"), 2, "malformed image name"),
        (("{save}:one:1", "oci:{out}", "--platform", "linux"), 2, "is not a platform"),
        (("{save}:one:1", "oci:{out}", "--platform", "linux/arm"), 3, "no image for linux/arm"),
        (("{save}:one:1", "oci:{out}", "--compression", "lzma"), 2, "lzma"),
        (("{save}:one:1", "oci:{out}", "--jobs", "0"), 2, "jobs"),
        (("{save}:one:1",), 2, "DST"),
        (("{save}:one:1", "oci:{out}", "--nonsense"), 2, "nonsense"),
        (("{save}:one:1", "oci:{out}", "--preserve-digests"), 0, ""),
        (("{save}:one:1", "docker-archive:{out}", "--docker-format", "classic",
          "--preserve-digests"), 6, "omit --preserve-digests"),
        (("{save}:one:1", "oci:{out}", "--compression", "gzip", "--preserve-digests"), 6, "layer"),
        (("{save}:one:1", "oci:{out}", "--compression", "gzip", "--compression-level", "12"), 2,
         "gzip has the levels 0 to 9"),
        (("{save}:one:1", "oci:{out}", "--compression", "none", "--compression-level", "1"), 2,
         "nothing is compressed"),
        (("{save}:one:1", "oci:{out}", "--compression-level", "12"), 2, "gzip has the levels"),
        (("{save}:one:1", "docker-archive:-:a:1", "--json"), 2, "cannot both use"),
        (("{save}:one:1", "oci:-"), 2, "not a pipe"),
        (("docker://localhost:99999/a:1", "oci:{out}"), 2, "the port must be from 1 to 65535"),
        (("{save}:one:1", "docker://localhost:0/a:1"), 2, "the port must be from 1 to 65535"),
        (("{save}:one:1", "oci:{dir}"), 6, "exists and is not an OCI layout"),
    ],
)  # fmt: skip
def test_exit_codes_and_one_line(
    tarkit: Tarkit, save: str, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    places = {"save": save, "dir": str(tmp_path), "out": str(tmp_path / "out")}
    result = tarkit("copy", *(argument.format(**places) for argument in arguments))
    assert result.code == code
    assert words in result.err
    if code:
        assert result.out == ""
        if "--json" in arguments:
            assert json.loads(result.err)["exit_code"] == code
        else:
            assert result.err.startswith("tarkit: ")
        assert result.err.count("\n") == 1
        assert listing(tmp_path) == ["save.tar"]


def test_broken_input_exits_with_4(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    path = tmp_path / "save.tar"
    path.write_bytes(path.read_bytes()[:9000])
    result = tarkit("copy", f"{save}:one:1", f"oci:{tmp_path / 'out'}")
    assert result.code == 4
    assert result.err.count("\n") == 1


def test_hostile_names_are_escaped(tarkit: Tarkit, tmp_path: Path) -> None:
    name = "evil\n\x1b[31mred\u202e"
    write_files(tmp_path / "in", layout_of(ONE, name))
    result = tarkit("copy", f"oci:{tmp_path / 'in'}:other", f"oci:{tmp_path / 'out'}")
    assert result.code == 3
    assert result.err.count("\n") == 1
    assert "\x1b" not in result.err
    assert result.err.endswith("available: @0\n")  # the name cannot be typed as it would be shown
    listed = tarkit("list", f"oci:{tmp_path / 'in'}")
    assert r"evil\n\x1b[31mred\u202e" in listed.out


def test_debug_shows_where_an_error_came_from(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    result = tarkit("copy", "--debug", f"{save}:gone:1", f"oci:{tmp_path / 'out'}")
    assert result.code == 3
    assert "ImageNotFoundError" in result.err
    assert result.err.startswith("Traceback (most recent call last)")


def test_entries_keep_their_other_annotations(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(make_image("x")) | {"annotations": {REF_NAME: "x", "vendor": "kept"}}
    write_files(tmp_path / "out", layout.finish(entry))
    assert tarkit("copy", f"{save}:one:1", f"oci:{tmp_path / 'out'}:y").code == 0
    assert check_layout(read_files(tmp_path / "out"))["manifests"][0] == entry
