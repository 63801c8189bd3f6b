"""Test ``tarkit list`` and ``tarkit inspect``, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import (
    Layout,
    image_of,
    layout_of,
    load,
    multi_platform,
    named,
    squeeze,
    tar,
    write_files,
)
from tests.cli.conftest import ONE, TWO, Tarkit

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def test_list_json(tarkit: Tarkit, save: str) -> None:
    images = tarkit("list", "--json", save).document["images"]
    assert [(image["index"], image["name"], image["names"]) for image in images] == [
        (0, "one:1", ["one:1"]),
        (1, "two:1", ["two:1", "two:2"]),
    ]
    for image in images:
        assert image.keys() == {"name", "names", "index", "digest", "media_type", "platforms"}
        assert image["media_type"] == MANIFEST
        assert image["platforms"] == ["linux/amd64"]


def test_list_for_people(tarkit: Tarkit, save: str) -> None:
    lines = tarkit("list", save).out.splitlines()
    assert lines[0].split() == ["INDEX", "NAME", "DIGEST", "PLATFORMS"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["@0", "one:1"],
        ["@1", "two:1"],
        ["@1", "two:2"],
    ]


def test_list_of_an_index_and_of_an_unnamed_image(tarkit: Tarkit, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "in", layout.finish(named(index, "x"), layout.image(ONE)))
    images = tarkit("list", "--json", f"oci:{tmp_path / 'in'}").document["images"]
    assert images[0]["platforms"] == ["linux/amd64", "linux/arm64"]
    assert (images[1]["name"], images[1]["names"]) == (None, [])
    assert "<none>" in tarkit("list", tmp_path / "in").out


def test_list_of_nothing(tarkit: Tarkit, tmp_path: Path) -> None:
    write_files(tmp_path / "in", Layout().finish())
    assert tarkit("list", "--json", f"oci:{tmp_path / 'in'}").document == {"images": []}


def test_inspect_json(tarkit: Tarkit, tmp_path: Path) -> None:
    files = layout_of(ONE, "app")
    write_files(tmp_path / "in", files)
    entry = json.loads(files["index.json"])["manifests"][0]
    assert tarkit("inspect", "--json", f"oci:{tmp_path / 'in'}").document == {
        "name": "app",
        "digest": entry["digest"],
        "media_type": entry["mediaType"],
        "platform": "linux/amd64",
        "config_digest": ONE.digest,
        "created": "2024-01-02T03:04:05Z",
        "labels": {"made-by": "tests"},
        "layers": [
            {
                "digest": layer["digest"],
                "size": layer["size"],
                "media_type": layer["mediaType"],
                "diff_id": diff_id,
            }
            for layer, diff_id in zip(load(files, entry)["layers"], ONE.diff_ids, strict=True)
        ],
        "size": sum(layer["size"] for layer in load(files, entry)["layers"]),
        "unpacked_size": None,
        "user": "",
        "working_dir": "",
        "entrypoint": [],
        "cmd": [],
        "env": [],
        "ports": [],
        "volumes": [],
        "history": [
            {
                "created": "",
                "created_by": f"step {number}",
                "author": "",
                "comment": "",
                "empty_layer": False,
            }
            for number in range(2)
        ],
    }


def test_inspect_of_an_index(tarkit: Tarkit, tmp_path: Path) -> None:
    layout, index, images = multi_platform("amd64", "arm64")
    write_files(tmp_path / "in", layout.finish(named(index, "x")))
    document = tarkit("inspect", "--json", f"oci:{tmp_path / 'in'}").document
    assert document["digest"] == index["digest"]
    assert document["platform"] is None
    assert document["layers"] == []
    assert [child["platform"] for child in document["manifests"]] == ["linux/amd64", "linux/arm64"]
    assert document["manifests"][0].keys() == {"digest", "size", "media_type", "platform"}
    chosen = tarkit("inspect", "--json", f"oci:{tmp_path / 'in'}", "--platform", "linux/arm64")
    assert chosen.document["config_digest"] == images["arm64"].digest
    assert tarkit("inspect", f"oci:{tmp_path / 'in'}", "--platform", "linux/arm").code == 3


def test_raw_and_config_print_exact_bytes(tarkit: Tarkit, tmp_path: Path) -> None:
    files = layout_of(ONE, "app")
    write_files(tmp_path / "in", files)
    entry = json.loads(files["index.json"])["manifests"][0]
    raw = tarkit("inspect", "--raw", f"oci:{tmp_path / 'in'}").out
    assert raw.encode() == files[f"blobs/sha256/{entry['digest'][7:]}"]
    assert tarkit("inspect", "--config", f"oci:{tmp_path / 'in'}").out.encode() == ONE.config
    both = tarkit("inspect", "--config", "--raw", f"oci:{tmp_path / 'in'}")
    assert both.out.encode() == ONE.config  # as in skopeo


def test_inspect_for_people(tarkit: Tarkit, save: str) -> None:
    result = tarkit("inspect", f"{save}:two:1")
    lines = dict(line.split(maxsplit=1) for line in result.out.splitlines() if line)
    assert lines["Name"] == "two:1"
    assert lines["Platform"] == "linux/amd64"
    assert lines["Config"] == TWO.digest
    assert all(diff_id in result.out for diff_id in TWO.diff_ids)


def test_control_characters_in_labels_are_escaped(tarkit: Tarkit, tmp_path: Path) -> None:
    labels = {"a": "\x1b[31mred\nnext", "b": "\ud800 half", "c": "ünïcode"}
    image = image_of(ONE.layers, config={"Labels": labels})
    write_files(tmp_path / "in", layout_of(image))
    result = tarkit("inspect", f"oci:{tmp_path / 'in'}")
    assert result.code == 0
    assert "\x1b" not in result.out
    assert r"\x1b[31mred\nnext" in result.out
    document = tarkit("inspect", "--json", f"oci:{tmp_path / 'in'}")
    assert document.out.isascii()
    assert document.document["labels"] == labels


@pytest.fixture
def artifact(tmp_path: Path) -> str:
    """Return the location of an artifact."""
    layout = Layout()
    manifest = {
        "schemaVersion": 2,
        "config": layout.blob(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [layout.blob(b"a report", "text/plain")],
    }
    entry = layout.blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    write_files(tmp_path / "in", layout.finish(named(entry, "report")))
    return f"oci:{tmp_path / 'in'}"


def test_an_artifact(tarkit: Tarkit, artifact: str) -> None:
    document = tarkit("inspect", "--json", artifact).document
    assert document["layers"][0]["diff_id"] is None
    assert document["platform"] is None
    assert tarkit("list", artifact).code == 0


@pytest.mark.parametrize(
    "command", [("ls",), ("inspect", "--platform", "linux/amd64"), ("copy",)], ids=" ".join
)
def test_an_artifact_that_is_refused_is_named(
    tarkit: Tarkit, artifact: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    output = [f"docker-archive:{tmp_path / 'out.tar'}"] if command == ("copy",) else []
    result = tarkit(*command, artifact, *output)
    assert result.code == 6
    assert result.err.startswith(f"tarkit: {tmp_path / 'in'}: an artifact (application/vnd.oci")


@pytest.mark.parametrize("option", ["--preserve-digests", "--compression=zstd"])
def test_unsupported_content_is_named(tarkit: Tarkit, tmp_path: Path, option: str) -> None:
    write_files(tmp_path / "in", layout_of(ONE))
    out = f"docker-archive:{tmp_path / 'out.tar'}"
    result = tarkit("copy", f"oci:{tmp_path / 'in'}", out, "--docker-format=classic", option)
    assert result.code == 6
    assert result.err.startswith(f"tarkit: {tmp_path / 'in'}: the destination cannot ")


def test_a_plain_path_is_sniffed(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    path = save.removeprefix("docker-archive:")
    assert tarkit("list", "--json", path).document == tarkit("list", "--json", save).document
    (tmp_path / "z").write_bytes(squeeze(Path(path).read_bytes()))
    assert (
        tarkit("list", "--json", tmp_path / "z").document == tarkit("list", "--json", save).document
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("list", "{dir}/gone"), 3),
        (("list", "{dir}"), 6),
        (("list", "{dir}/other.tar"), 6),
        (("inspect", "{save}"), 6),
        (("inspect", "{save}:gone"), 3),
        (("inspect", "{save}:@2"), 3),
        (("list", ""), 2),
        (("list",), 2),
        (("nonsense",), 2),
        (("list", "oci:{dir}"), 4),
    ],
)
def test_exit_codes_and_one_line(
    tarkit: Tarkit, save: str, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "other.tar").write_bytes(tar({"file": b"x"}))
    places = {"save": save, "dir": str(tmp_path)}
    result = tarkit(*(argument.format(**places) for argument in arguments))
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("tarkit: ")
    assert result.err.count("\n") == 1
