"""``tarkit inspect --format`` prints the same as ``skopeo inspect --format``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tarkit.testing import registry
from tests.builders import copy, image_of, layout_of, make_image, tar, write_files
from tests.conformance.tools import Tool

TARKIT = Tool((sys.executable, "-m", "tarkit"))
PLAIN = "--tls-verify=false"
SOURCES = ["dir:{}/skopeo-dir", "oci:{}/skopeo-oci-uncompressed", "oci:{}/umoci-oci:two"]
TEMPLATES = [
    "{{.Digest}}",
    "{{.Name}}|{{.DockerVersion}}|{{.Architecture}}|{{.Os}}|{{.Created}}",
    "{{.RepoTags}}|{{.Labels}}|{{.Layers}}|{{.Env}}",
    "{{len .Layers}} {{index .Layers 0}} {{.Layers | len}}",
    r"{{range .Layers}}{{.}}\n{{end}}",
    r"{{range .Env}}[{{.}}]{{else}}no variables{{end}}\n",
    "{{if .Labels}}labels{{else if .Env}}env{{else}}neither{{end}}",
    '{{.Labels.missing}}|{{index .Labels "missing"}}|{{len .Labels}}',
    "a  {{- .Os -}}  b",
    '{{index .Labels "made-by"}}{{.Labels}}',
    '{{(index .Layers 0)}}{{len (index .Layers 0)}}{{"x" | len}}{{`raw`}}{{12}}',
]
WRONG = ["{{.Nope}}", "{{range .Layers}}", "{{nope .Os}}", "{{index .Layers 99}}", "{{", "{{}}"]
TIMES = [
    "2024-01-02T03:04:05Z",
    "2024-01-02T03:04:05.120000000Z",
    "2024-01-02T03:04:05.123456789+02:30",
    "2024-01-02T03:04:05-07:00",
    "2024-01-02T03:04:05+00:00",
]


@pytest.fixture
def rich(tmp_path: Path) -> str:
    settings = {"Env": ["A=b c", "D=ü<&>"], "Labels": {"made-by": "tests", "a.b": 'q"uote'}}
    image = image_of([tar({"a": b"x"})], config=settings, docker_version="29.0")
    write_files(tmp_path / "rich", layout_of(image, "rich"))
    return f"oci:{tmp_path / 'rich'}:rich"


@pytest.mark.parametrize("template", TEMPLATES)
def test_output_is_equal(skopeo: Tool, corpus: Path, rich: str, template: str) -> None:
    for source in (*(text.format(corpus) for text in SOURCES), rich):
        ours = TARKIT("inspect", "--format", template, source)
        assert ours == skopeo("inspect", "--format", template, source)


@pytest.mark.parametrize("template", WRONG)
def test_both_refuse(skopeo: Tool, rich: str, template: str) -> None:
    assert skopeo.attempt("inspect", "--format", template, rich).returncode != 0
    assert TARKIT.attempt("inspect", "--format", template, rich).returncode == 2


@pytest.mark.parametrize("created", TIMES)
def test_times_are_equal(skopeo: Tool, tmp_path: Path, created: str) -> None:
    write_files(tmp_path / "x", layout_of(make_image("x", created=created), "x"))
    location = f"oci:{tmp_path / 'x'}:x"
    for template in ("{{.Created}}", "{{json .}}"):
        ours = TARKIT("inspect", "--format", template, location)
        theirs = skopeo("inspect", "--format", template, location)
        if template == "{{json .}}":
            ours, theirs = (json.loads(text)["Created"] for text in (ours, theirs))
        assert ours == theirs


def test_json_is_equal(skopeo: Tool, corpus: Path, rich: str) -> None:
    """Older versions of skopeo lack LayersData."""
    for source in (*(text.format(corpus) for text in SOURCES), rich):
        theirs = json.loads(skopeo("inspect", source))
        ours = json.loads(TARKIT("inspect", "--format", "json", source))
        assert list(theirs) == [key for key in ours if key in theirs]
        assert {key: ours[key] for key in theirs} == theirs
        assert ours.keys() - theirs.keys() <= {"LayersData"}


def test_the_name_and_tags_of_a_registry_are_equal(skopeo: Tool, rich: str) -> None:
    with registry() as server:
        for tag in ("1", "2"):
            copy(rich, f"docker://{server.address}/team/app:{tag}")
        source = f"docker://{server.address}/team/app:1"
        template = "{{.Name}} {{.RepoTags}} {{.Digest}}"
        ours = TARKIT("inspect", "--format", template, source)
        assert ours == skopeo("inspect", PLAIN, "--format", template, source)
