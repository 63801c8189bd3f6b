"""The same arguments, given to skopeo and to tarkit, have the same effect."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tarkit
from tests.builders import multi_platform, named, write_files
from tests.conformance.registries import Authority, running
from tests.conformance.tools import Tool

ROOT = Path(__file__).parents[2]
PLAIN = ("--src-tls-verify=false", "--dest-tls-verify=false")


@pytest.fixture(scope="module")
def source(registry: str, skopeo: Tool, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the location of an image for three platforms in a registry."""
    directory = tmp_path_factory.mktemp("source")
    layout, index, _ = multi_platform("amd64", "arm64", "arm")
    write_files(directory / "in", layout.finish(named(index, "x")))
    location = f"docker://{registry}/familiar:v1"
    skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{directory / 'in'}:x", location)
    return location


@pytest.fixture(params=["skopeo", "tarkit"])
def program(request: pytest.FixtureRequest, require_tool: Callable[[str], Tool]) -> Tool:
    """Return skopeo, without any options, and then tarkit."""
    if request.param == "skopeo":
        return require_tool("skopeo")
    path = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    return Tool((sys.executable, "-m", "tarkit"), {"PYTHONPATH": path})


def architectures(path: Path) -> list[str]:
    """Return the architectures of the image in the layout at *path*."""
    with tarkit.open_source(f"oci:{path}") as image:
        if image.manifest().is_index:
            index = tarkit.Index.parse(image.manifest())
            return [child.platform.architecture for child in index.manifests if child.platform]
        platform = tarkit.inspect_image(image).platform
        return [platform.architecture] if platform else []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (["--override-arch", "arm64"], [], ["arm64"]),
        (["--override-os=linux", "--override-arch=arm", "--debug"], [], ["arm"]),
        ([], ["--multi-arch", "system", "--retry-times", "2"], ["amd64"]),
        ([], ["-a", "--src-no-creds"], ["amd64", "arm64", "arm"]),
        ([], ["--multi-arch=all", "-q"], ["amd64", "arm64", "arm"]),
        (["--override-arch", "arm64"], ["--all", "--preserve-digests"], ["amd64", "arm64", "arm"]),
        (["--command-timeout", "5m", "--tmpdir", "."], ["--multi-arch", "index-only"], ["amd64", "arm64", "arm"]),
    ],
)  # fmt: skip
def test_a_copy_takes_the_same_platforms(
    program: Tool,
    source: str,
    tmp_path: Path,
    before: list[str],
    after: list[str],
    expected: list[str],
) -> None:
    digest = tmp_path / "digest"
    more = ("copy", *PLAIN, f"--digestfile={digest}", *after)
    arguments = ("--insecure-policy", *before, *more)
    program(*arguments, source, f"oci:{tmp_path / 'out'}:x", cwd=tmp_path)
    assert architectures(tmp_path / "out") == expected
    with tarkit.open_source(f"oci:{tmp_path / 'out'}") as image:
        assert digest.read_text().strip() == str(image.manifest().digest)
    if "index-only" in after:
        assert len(list((tmp_path / "out/blobs/sha256").iterdir())) == 1


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_layers_are_compressed_alike(
    program: Tool, source: str, tmp_path: Path, codec: str
) -> None:
    level = ("--dest-compress-format", codec, "--dest-compress-level", "5")
    arguments = ("--insecure-policy", "copy", *PLAIN, *level)
    program(*arguments, source, f"oci:{tmp_path / 'out'}:x")
    with tarkit.open_source(f"oci:{tmp_path / 'out'}") as image:
        layers = tarkit.Manifest.parse(image.manifest()).layers
    assert {layer.media_type.rpartition("+")[2] for layer in layers} == {codec}


def test_additional_tags(program: Tool, source: str, tmp_path: Path) -> None:
    out = f"docker-archive:{tmp_path / 'out.tar'}:one:1"
    more = ("--additional-tag", "two:2", "--additional-tag", "three:3")
    program("--insecure-policy", "copy", *PLAIN, *more, source, out)
    with tarkit.open_reader(tmp_path / "out.tar") as reader:
        names = {
            tarkit.Reference.parse(name).familiar for each in reader.images() for name in each.names
        }
    assert names == {"one:1", "two:2", "three:3"}


def test_options_for_registries(program: Tool, source: str, tmp_path: Path) -> None:
    empty = tmp_path / "auth.json"
    empty.write_text("{}")
    for option in (f"--src-authfile={empty}", f"--src-cert-dir={tmp_path}", "--src-creds=a:b"):
        program("--insecure-policy", "copy", *PLAIN, option, source, f"oci:{tmp_path / 'out'}:x")
    for option in (f"--dest-authfile={empty}", f"--dest-cert-dir={tmp_path}", "--dest-no-creds"):
        target = f"{source[:-2]}v2"
        program("--insecure-policy", "copy", *PLAIN, option, f"oci:{tmp_path / 'out'}:x", target)
    options = ("--tls-verify=false", "--no-creds", "--retry-times=1", "--format={{.Architecture}}")
    shown = program("--override-arch", "arm64", "inspect", *options, source)
    assert shown.strip() == "arm64"


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the certificate of an authority that the system does not know."""
    directory = tmp_path_factory.mktemp("certificates")
    Authority.make(directory).sign("server", "subjectAltName=IP:127.0.0.1")
    (directory / "trusted").mkdir()
    shutil.copy(directory / "ca.crt", directory / "trusted")
    return directory / "trusted"


def test_certificates_of_each_end(program: Tool, trusted: Path, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64")
    local = f"oci:{write_files(tmp_path / 'in', layout.finish(named(index, 'x')))}:x"
    copy, out = ("--insecure-policy", "copy"), f"oci:{tmp_path / 'out'}:x"
    with running(tls=Authority(trusted.parent)) as server:
        remote = f"docker://{server.address}/app:v1"
        assert program.attempt(*copy, local, remote).returncode != 0
        program(*copy, f"--dest-cert-dir={trusted}", local, remote)
        program(*copy, "--dest-tls-verify=false", local, remote)
        assert program.attempt(*copy, remote, out).returncode != 0
        assert program.attempt(*copy, "--dest-tls-verify=false", remote, out).returncode != 0
        program(*copy, f"--src-cert-dir={trusted}", remote, out)
        program(*copy, "--src-tls-verify=false", remote, out)
    assert architectures(tmp_path / "out") == ["amd64"]


def test_logging_in(program: Tool, registry: str, tmp_path: Path) -> None:
    authfile = tmp_path / "auth.json"
    login = ("login", "--tls-verify=false", f"--authfile={authfile}", "-u", "me", "-p", "secret")
    program(*login, registry)
    assert registry in authfile.read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["copy", "--all", "--multi-arch=all"],
        ["copy", "--multi-arch=some"],
        ["copy", "--retry-times=x"],
        ["copy", "--no-such-option"],
        ["copy", "--tls-verify=maybe"],
    ],
)
def test_the_same_arguments_are_refused(
    program: Tool, source: str, tmp_path: Path, arguments: list[str]
) -> None:
    out = tmp_path / "out"
    assert program.attempt("--insecure-policy", *arguments, source, f"oci:{out}:x").returncode != 0
    assert not out.exists()
