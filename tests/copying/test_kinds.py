"""Test that every command distinguishes images and artifacts in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tarkit.errors import NotAnImageError
from tarkit.image import media_types as mt
from tarkit.image.platform import Platform
from tarkit.rootfs.layers import ImageLayers
from tarkit.selection.inspect import inspect_image
from tarkit.selection.select import select_image
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import open_source
from tarkit.verifying.runner import verify
from tests.builders import (
    Image,
    Layout,
    check_layout,
    copy,
    load,
    make_image,
    named,
    read_files,
    untar,
    write_files,
)

ONE = make_image("one", "two")
EMPTY = Image(ONE.layers, b"{}")
CHART = Image(ONE.layers, b'{"name": "chart", "apiVersion": "v2"}')
SAY_NOTHING = ["application/octet-stream", "application/json", "text/html", ""]


def layout(
    tmp_path: Path, image: Image, config_type: str, *, docker: bool = True, **fields: Any
) -> str:
    made = Layout()
    entry = made.image(image, docker=docker, config_type=config_type, **fields)
    write_files(tmp_path / "in", made.finish(named(entry, "x")))
    return f"oci:{tmp_path / 'in'}:x"


@pytest.mark.parametrize("docker", [True, False])
@pytest.mark.parametrize("config_type", SAY_NOTHING)
def test_an_image_under_a_type_that_says_nothing(
    tmp_path: Path, config_type: str, docker: bool
) -> None:
    location = layout(tmp_path, ONE, config_type, docker=docker)
    with open_source(location) as source:
        assert [str(layer.diff_id) for layer in inspect_image(source).layers] == ONE.diff_ids
        assert len(ImageLayers.of(source)) == 2
    for archive_format in ("classic", "dual"):
        archive = f"docker-archive:{tmp_path / archive_format}.tar:x:1"
        copy(location, archive, format=DockerFormat(archive_format))
        broken = {"schema"} if config_type == "" and not docker else set()  # OCI demands a type
        assert {finding.rule for finding in verify(archive).findings} <= broken
        with open_source(archive) as source:
            assert len(ImageLayers.of(source)) == 2
    assert f"{ONE.digest[7:]}.json" in untar(tmp_path / "classic.tar")


@pytest.mark.parametrize("config_type", SAY_NOTHING)
def test_a_conversion_gives_the_config_its_familys_type(tmp_path: Path, config_type: str) -> None:
    copy(layout(tmp_path, ONE, config_type), f"oci:{tmp_path / 'out'}")
    files = read_files(tmp_path / "out")
    manifest = load(files, check_layout(files)["manifests"][0])
    assert manifest["mediaType"] == mt.OCI_MANIFEST
    assert manifest["config"]["mediaType"] == mt.OCI_CONFIG
    assert manifest["config"]["digest"] == ONE.digest


def test_without_a_conversion_the_type_stays(tmp_path: Path) -> None:
    location = layout(tmp_path, ONE, "text/html", docker=False)
    with open_source(location) as source:
        digest = source.manifest().digest
    assert copy(location, f"oci:{tmp_path / 'out'}").descriptor.digest == digest


@pytest.mark.parametrize("config_type", SAY_NOTHING)
def test_verify_treats_it_as_an_image(tmp_path: Path, config_type: str) -> None:
    assert verify(layout(tmp_path, ONE, config_type)).findings == ()


def test_verify_checks_the_diff_ids_of_an_image_under_any_such_type(tmp_path: Path) -> None:
    wrong = Image((ONE.layers[1], ONE.layers[0]), ONE.config)
    found = verify(layout(tmp_path, wrong, "application/octet-stream")).findings
    assert [finding.rule for finding in found] == ["diff-id-mismatch"] * 2


@pytest.mark.parametrize(
    ("image", "config_type"),
    [
        (EMPTY, "application/octet-stream"),
        (EMPTY, mt.OCI_CONFIG),
        (EMPTY, "application/vnd.oci.empty.v1+json"),
        (CHART, "application/json"),
        (CHART, "application/vnd.cncf.helm.config.v1+json"),
        (ONE, "application/vnd.docker.plugin.v1+json"),
    ],
)
def test_every_command_recognizes_artifacts(tmp_path: Path, image: Image, config_type: str) -> None:
    location = layout(tmp_path, image, config_type, docker=False, artifactType="text/x-thing")
    assert [finding.rule for finding in verify(location).findings] == ["artifact"]
    with open_source(location) as source:
        digest = source.manifest().digest
        assert {layer.diff_id for layer in inspect_image(source).layers} == {None}
        with pytest.raises(NotAnImageError, match="an artifact"):
            ImageLayers.of(source)
    assert copy(location, f"oci:{tmp_path / 'out'}").descriptor.digest == digest


def test_an_image_is_chosen_before_an_artifact_under_the_same_type(tmp_path: Path) -> None:
    made = Layout()
    image = made.image(ONE, config_type="text/html")
    chart = made.image(CHART, config_type="text/html", annotations={"what": "chart"})
    index = made.index(chart, image)
    write_files(tmp_path / "in", made.finish(named(index, "x")))
    with open_source(f"oci:{tmp_path / 'in'}:x") as source:
        assert str(select_image(source).digest) == image["digest"]


def test_a_platform_is_read_from_a_config_under_any_such_type(tmp_path: Path) -> None:
    made = Layout()
    children = [
        made.image(make_image("a", architecture=name), config_type="")
        for name in ("s390x", "arm64")
    ]
    write_files(tmp_path / "in", made.finish(named(made.index(*children), "x")))
    location = f"oci:{tmp_path / 'in'}:x"
    with open_source(location) as source:
        chosen = select_image(source, Platform.parse("linux/arm64"))
        assert str(chosen.digest) == children[1]["digest"]
