"""Many images: Docker, podman and skopeo read them, and skopeo agrees about its own lists."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.builders import digest_of, multi_platform, named, untar, write_files
from tests.cli.conftest import Tarkit, tarkit  # noqa: F401
from tests.conformance.tools import Tool
from tests.syncing.images import laid_out, saved


@pytest.fixture
def indexed(tmp_path: Path, tarkit: Tarkit) -> tuple[Path, str]:  # noqa: F811
    """A dual archive of an index, and the config digest of the platform for Docker."""
    layout, index, images = multi_platform("amd64", "arm64")
    write_files(tmp_path / "in", layout.finish(named(index, "x")))
    out = tmp_path / "dual.tar"
    result = tarkit(
        "copy", "--all", "--platform", "linux/amd64", f"oci:{tmp_path / 'in'}",
        f"docker-archive:{out}:team/app:1",
    )  # fmt: skip
    assert result.out.strip() == index["digest"]
    return out, images["amd64"].digest


def test_docker_loads_one_platform_of_a_dual_archive(
    docker: Tool, indexed: tuple[Path, str]
) -> None:
    archive, config = indexed
    assert "Loaded image: team/app:1" in docker("load", "--input", archive)
    assert docker("inspect", "--format", "{{.Id}}", "team/app:1").strip() == config


def test_podman_loads_a_dual_archive(podman: Tool, indexed: tuple[Path, str]) -> None:
    assert "team/app:1" in podman("load", "--input", indexed[0])


def test_skopeo_reads_both_halves(skopeo: Tool, indexed: tuple[Path, str], tmp_path: Path) -> None:
    archive, config = indexed
    manifest = json.loads(skopeo("inspect", "--raw", f"docker-archive:{archive}"))
    assert manifest["config"]["digest"] == config
    write_files(tmp_path / "half", untar(archive))
    raw = skopeo("inspect", "--raw", f"oci:{tmp_path / 'half'}:1").encode()
    entry = json.loads((tmp_path / "half" / "index.json").read_bytes())["manifests"][0]
    assert str(digest_of(raw)) == entry["digest"]
    skopeo("copy", "--all", f"oci:{tmp_path / 'half'}:1", f"dir:{tmp_path / 'all'}")


def test_skopeo_reads_each_image_of_an_archive_that_grew(
    skopeo: Tool,
    tmp_path: Path,
    tarkit: Tarkit,  # noqa: F811
) -> None:
    source, out = saved(tmp_path / "in.tar", 3), f"docker-archive:{tmp_path / 'out.tar'}"
    for number in range(3):
        assert tarkit("copy", f"{source}:team/app{number}:1", out).code == 0
    for number in range(3):
        name = f"{out}:docker.io/team/app{number}:1"
        skopeo("copy", name, f"dir:{tmp_path / str(number)}")  # it verifies all digests


def test_skopeo_and_tarkit_agree_about_a_list(
    skopeo: Tool,
    registry: str,
    tmp_path: Path,
    tarkit: Tarkit,  # noqa: F811
) -> None:
    tags = ("1.9", "1.10", "2.0.0", "3.1.0-rc1", "v2.1.0", "edge")
    source = laid_out(tmp_path / "in", *tags)
    for name in ("list", "regex", "semver", "all"):
        arguments = ("--all-images", source, f"docker://{registry}/sync/{name}")
        assert tarkit("copy", *arguments).code == 0
    sources = tmp_path / "list.yaml"
    sources.write_text(f"""
{registry}:
  tls-verify: false
  images:
    sync/list: ["1.9", edge]
    sync/all: []
  images-by-tag-regex:
    sync/regex: ^[12]\\.[0-9]+$
  images-by-semver:
    sync/semver: ">= 1.10 < 3 || ^3.0.0-0"
""")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    skopeo("sync", "--src", "yaml", "--dest", "dir", "--scoped", sources, theirs)
    expected = {
        str(path.parent.relative_to(theirs)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in theirs.rglob("manifest.json")
    }
    assert tarkit("sync", sources, f"oci:{tmp_path / 'ours'}").code == 0
    entries = json.loads((tmp_path / "ours" / "index.json").read_bytes())["manifests"]
    ours = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"][7:]
        for entry in entries
    }
    version = skopeo("--version").split()[2].split("-")[0]
    if tuple(map(int, version.split(".")[:2])) < (1, 12):  # older versions ignore the constraint
        ours = {name: digest for name, digest in ours.items() if "/semver:" not in name}
    assert ours == expected
