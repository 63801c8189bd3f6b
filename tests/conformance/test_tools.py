"""The tools themselves, on files that they can read: a failure here is not a bug in tarkit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance.tools import Tool

GREETING = "Hello from a very small image.\n"


@pytest.fixture
def hello(fixtures: Path) -> Path:
    return fixtures / "hello.tar"


def config_digest(skopeo: Tool, location: str, *options: str) -> str:
    manifest = json.loads(skopeo("inspect", "--raw", *options, location))
    return str(manifest["config"]["digest"])


def test_skopeo_reads_the_archive(skopeo: Tool, hello: Path) -> None:
    assert json.loads(skopeo("inspect", "--config", f"docker-archive:{hello}"))["os"] == "linux"


def test_umoci_unpacks_what_skopeo_copies(
    skopeo: Tool, umoci: Tool, hello: Path, tmp_path: Path
) -> None:
    skopeo("copy", f"docker-archive:{hello}", "oci:layout:hello", cwd=tmp_path)
    umoci("unpack", "--rootless", "--image", "layout:hello", "bundle", cwd=tmp_path)
    etc = tmp_path / "bundle" / "rootfs" / "etc"
    assert {path.name: path.read_text() for path in etc.iterdir()} == {"motd": "Welcome.\n"}


def test_podman_loads_and_saves(podman: Tool, hello: Path, tmp_path: Path) -> None:
    assert "hello:latest" in podman("load", "--input", hello)
    podman("save", "--output", tmp_path / "out.tar", "hello:latest")
    assert (tmp_path / "out.tar").stat().st_size > 0


def test_docker_loads_and_runs(docker: Tool, hello: Path) -> None:
    assert "Loaded image: hello:latest" in docker("load", "--input", hello)
    assert docker("run", "--rm", "--network", "none", "hello") == GREETING


def test_a_fresh_docker_is_empty(fresh_docker: Tool) -> None:
    assert fresh_docker("images", "--quiet") == ""


def test_the_registry_takes_and_gives(skopeo: Tool, registry: str, hello: Path) -> None:
    name = f"docker://{registry}/hello:latest"
    skopeo("copy", "--dest-tls-verify=false", f"docker-archive:{hello}", name)
    assert config_digest(skopeo, name, "--tls-verify=false") == config_digest(
        skopeo, f"docker-archive:{hello}"
    )


def test_a_missing_tool_fails_only_if_all_are_required(
    require_tool: Callable[[str], Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TARKIT_REQUIRE_TOOLS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
        require_tool("no-such-tool")
    monkeypatch.setenv("TARKIT_REQUIRE_TOOLS", "1")
    with pytest.raises(pytest.fail.Exception, match="TARKIT_REQUIRE_TOOLS"):
        require_tool("no-such-tool")
