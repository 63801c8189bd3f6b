"""Real tools read our output and we read theirs, with the same config and diff IDs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit import (
    CopyOptions,
    DockerFormat,
    LayerCompression,
    Location,
    copy_image,
    inspect_image,
    open_source,
    open_writer,
)
from tests.conformance.tools import Tool

GREETING = "Hello from a very small image.\n"
SOURCES = [  # every producer of the corpus, and each form it writes
    "docker-archive:docker-20.10-save.tar",
    "docker-archive:docker-20.10-save-multi.tar:corpus/alpha:two",
    "docker-archive:docker-29-graph-save.tar",
    "docker-archive:docker-29-ctrd-save.tar",
    "docker-archive:skopeo-docker-archive.tar",
    "docker-archive:podman-docker-archive.tar",
    "docker-archive:crane-pull.tar",
    "docker-archive:ctr-export.tar",
    "docker-archive:buildkit-docker.tar",
    "oci-archive:buildkit-oci.tar",
    "oci-archive:podman-oci-archive.tar",
    "oci-archive:skopeo-oci-archive.tar",
    "oci:umoci-oci:two",
    "oci:crane-oci",
    "oci:skopeo-oci-zstd",
    "dir:skopeo-dir",
]


def at(corpus: Path, location: str) -> str:
    transport, _, rest = location.partition(":")
    return f"{transport}:{corpus / rest}"


def copy(
    source: str,
    destination: str,
    *,
    compression: LayerCompression = LayerCompression.AUTO,
    docker_format: DockerFormat = DockerFormat.DUAL,
) -> None:
    target = Location.parse(destination)
    with open_source(source) as image, open_writer(target, docker_format=docker_format) as writer:
        names = (target.name,) if target.name else ()
        copy_image(image, writer.destination(*names), CopyOptions(compression=compression))


def diff_ids(location: str) -> list[str]:
    with open_source(location) as image:
        return [str(layer.diff_id) for layer in inspect_image(image).layers]


def skopeo_diff_ids(skopeo: Tool, location: str) -> list[str]:
    config = json.loads(skopeo("inspect", "--config", location))
    ids: list[str] = config["rootfs"]["diff_ids"]
    return ids


@pytest.mark.parametrize("source", SOURCES)
def test_skopeo_reads_every_format_we_write(
    skopeo: Tool, corpus: Path, tmp_path: Path, source: str
) -> None:
    expected = diff_ids(at(corpus, source))
    for transport in ("docker-archive", "oci-archive", "oci", "dir"):
        written = f"{transport}:{tmp_path / transport}"
        copy(at(corpus, source), written)
        assert skopeo_diff_ids(skopeo, written) == expected
        again = f"oci:{tmp_path / (transport + '-again')}:x"
        skopeo("copy", written, again)
        assert diff_ids(again) == expected


@pytest.mark.parametrize("source", SOURCES)
def test_skopeo_reads_our_classic_archives(
    skopeo: Tool, corpus: Path, tmp_path: Path, source: str
) -> None:
    written = f"docker-archive:{tmp_path / 'classic.tar'}:corpus/x:1"
    copy(at(corpus, source), written, docker_format=DockerFormat.CLASSIC)
    assert skopeo_diff_ids(skopeo, written) == diff_ids(at(corpus, source))
    skopeo("copy", written, f"oci:{tmp_path / 'again'}:x")
    assert diff_ids(f"oci:{tmp_path / 'again'}:x") == diff_ids(at(corpus, source))


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive", "oci", "dir"])
@pytest.mark.parametrize("source", ["oci:umoci-oci:two", "docker-archive:docker-20.10-save.tar"])
def test_we_read_images_of_skopeo(
    skopeo: Tool, corpus: Path, tmp_path: Path, source: str, format: str
) -> None:
    written = f"{format}:{tmp_path / 'theirs'}"
    skopeo("copy", at(corpus, source), written)
    assert diff_ids(written) == diff_ids(at(corpus, source))
    copy(written, f"oci:{tmp_path / 'ours'}:x")
    assert diff_ids(f"oci:{tmp_path / 'ours'}:x") == diff_ids(at(corpus, source))


@pytest.mark.parametrize("source", SOURCES)
def test_umoci_unpacks_our_images(umoci: Tool, corpus: Path, tmp_path: Path, source: str) -> None:
    copy(at(corpus, source), f"oci:{tmp_path / 'layout'}:x", compression=LayerCompression.GZIP)
    umoci("unpack", "--rootless", "--image", "layout:x", "bundle", cwd=tmp_path)
    assert any((tmp_path / "bundle" / "rootfs").iterdir())


@pytest.fixture(params=[DockerFormat.DUAL, DockerFormat.CLASSIC])
def docker_format(request: pytest.FixtureRequest) -> DockerFormat:
    format: DockerFormat = request.param
    return format


@pytest.mark.parametrize("source", SOURCES)
def test_podman_loads_what_we_write(
    podman: Tool, corpus: Path, tmp_path: Path, source: str, docker_format: DockerFormat
) -> None:
    archive = tmp_path / "image.tar"
    copy(
        at(corpus, source), f"docker-archive:{archive}:example.org/x:1", docker_format=docker_format
    )
    assert "example.org/x:1" in podman("load", "--input", archive)
    assert podman_diff_ids(podman, "example.org/x:1") == diff_ids(at(corpus, source))


def podman_diff_ids(podman: Tool, name: str) -> list[str]:
    ids: list[str] = json.loads(podman("inspect", "--type", "image", name))[0]["RootFS"]["Layers"]
    return ids


def docker_diff_ids(docker: Tool, name: str) -> list[str]:
    ids: list[str] = json.loads(docker("image", "inspect", name))[0]["RootFS"]["Layers"]
    return ids


@pytest.fixture
def clean_docker(docker: Tool) -> Iterator[Tool]:
    """The daemon without images, so that it must read every layer."""
    yield docker
    images = docker("images", "--quiet", "--all").split()
    if images:
        docker("rmi", "--force", *dict.fromkeys(images))


@pytest.mark.parametrize("source", SOURCES)
def test_docker_loads_what_we_write_and_saves_what_we_read(
    clean_docker: Tool, corpus: Path, tmp_path: Path, source: str, docker_format: DockerFormat
) -> None:
    archive = tmp_path / "image.tar"
    copy(
        at(corpus, source), f"docker-archive:{archive}:example.org/x:1", docker_format=docker_format
    )
    assert "example.org/x:1" in clean_docker("load", "--input", archive)
    assert docker_diff_ids(clean_docker, "example.org/x:1") == diff_ids(at(corpus, source))
    clean_docker("save", "--output", tmp_path / "saved.tar", "example.org/x:1")
    assert diff_ids(f"docker-archive:{tmp_path / 'saved.tar'}") == diff_ids(at(corpus, source))


@pytest.mark.parametrize("source", SOURCES)
def test_containerd_imports_what_we_write_under_its_name(
    ctr: Tool, corpus: Path, tmp_path: Path, source: str
) -> None:
    archive = tmp_path / "image.tar"
    copy(at(corpus, source), f"docker-archive:{archive}:example.org/x:1")
    ctr("images", "import", "--snapshotter", "native", "--no-unpack", archive)
    assert ctr("images", "list", "--quiet").split() == ["example.org/x:1"]
    ctr("images", "export", tmp_path / "theirs.tar", "example.org/x:1")
    ctr("images", "remove", "--sync", "example.org/x:1")
    assert diff_ids(str(tmp_path / "theirs.tar")) == diff_ids(at(corpus, source))


def test_an_image_still_runs_after_every_trip(
    clean_docker: Tool, fixtures: Path, tmp_path: Path, docker_format: DockerFormat
) -> None:
    clean_docker("load", "--input", fixtures / "hello.tar")
    clean_docker("save", "--output", tmp_path / "saved.tar", "hello:latest")
    clean_docker("rmi", "hello:latest")
    copy(f"docker-archive:{tmp_path / 'saved.tar'}", f"oci:{tmp_path / 'layout'}:x")
    copy(f"oci:{tmp_path / 'layout'}:x", f"oci-archive:{tmp_path / 'archive.tar'}:x")
    again = tmp_path / "again.tar"
    copy(
        f"oci-archive:{tmp_path / 'archive.tar'}:x",
        f"docker-archive:{again}:hello:again",
        docker_format=docker_format,
    )
    assert "hello:again" in clean_docker("load", "--input", again)
    assert clean_docker("run", "--rm", "--network", "none", "hello:again") == GREETING


def test_docker_and_podman_load_several_images_from_one_archive(
    clean_docker: Tool,
    podman: Tool,
    corpus: Path,
    tmp_path: Path,
    docker_format: DockerFormat,
) -> None:
    archive = tmp_path / "both.tar"
    source = corpus / "docker-20.10-save-multi.tar"
    target = Location.parse(f"docker-archive:{archive}")
    with open_writer(target, docker_format=docker_format) as writer:
        for tag in ("one", "two"):
            with open_source(f"docker-archive:{source}:corpus/alpha:{tag}") as image:
                copy_image(image, writer.destination(f"example.org/x:{tag}"))
    for tool, ids in ((clean_docker, docker_diff_ids), (podman, podman_diff_ids)):
        tool("load", "--input", archive)
        for tag in ("one", "two"):
            expected = diff_ids(f"docker-archive:{source}:corpus/alpha:{tag}")
            assert ids(tool, f"example.org/x:{tag}") == expected


def test_skopeo_copies_both_platforms_of_what_we_write(
    skopeo: Tool, corpus: Path, tmp_path: Path
) -> None:
    source = f"oci-archive:{corpus / 'skopeo-oci-archive-multiarch.tar'}"
    for transport in ("oci", "oci-archive", "dir"):
        written = f"{transport}:{tmp_path / transport}"
        with open_source(source) as image, open_writer(Location.parse(written)) as writer:
            copy_image(image, writer.destination(), CopyOptions(all=True))
            expected = image.manifest().data
        assert skopeo("inspect", "--raw", written).encode() == expected
        skopeo("copy", "--all", written, f"dir:{tmp_path / (transport + '-theirs')}")
