"""Test options whose effect no other test of the command line shows."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.cli.registry import Access, Side
from tests.builders import Layout, docker_archive, named, write_files
from tests.cli.conftest import ONE, TWO, Tarkit
from tests.cli.test_serve import line_of, serving
from tests.managing.test_deletion import list_of, signature
from tests.transports.registry.fake_registry import FakeRegistry, fake_registry


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with fake_registry() as server:
        yield server


@pytest.fixture
def several(tmp_path: Path) -> str:
    """Return the location of an archive of images with full names."""
    images = [(ONE, ["r.io/a/one:1"]), (TWO, ["r.io/b/two:1"]), (ONE, ["r.io/b/three:2"])]
    return f"docker-archive:{docker_archive(tmp_path / 'several.tar', *images)}"


def names_at(tarkit: Tarkit, location: str) -> list[str]:
    """Return the names of the images at *location*, in order."""
    images = tarkit("list", "--json", location).document["images"]
    return sorted(name for image in images for name in image["names"])


def test_tags_are_chosen(
    tarkit: Tarkit, several: str, registry: FakeRegistry, tmp_path: Path
) -> None:
    name = f"docker://{registry.address}/app"
    for tag in ("1.0", "1.1", "2.0"):
        assert tarkit("copy", "-q", f"{several}:@0", f"{name}:{tag}").code == 0
    out = f"oci:{tmp_path / 'out'}"
    assert tarkit("sync", "--tags", "1.*", name, out).code == 0
    assert [each.rpartition(":")[2] for each in names_at(tarkit, out)] == ["1.0", "1.1"]


def test_shards_together_are_the_whole(tarkit: Tarkit, several: str, tmp_path: Path) -> None:
    found: list[str] = []
    for part in ("1/2", "2/2"):
        out = tmp_path / part[0]
        assert tarkit("sync", "--shard", part, several, f"oci:{out}").code == 0
        found += names_at(tarkit, f"oci:{out}") if out.exists() else []
    assert tarkit("sync", several, f"oci:{tmp_path / 'all'}").code == 0
    assert sorted(found) == names_at(tarkit, f"oci:{tmp_path / 'all'}")
    assert len(found) == 3


@pytest.mark.parametrize(
    ("options", "repositories"),
    [
        ([], ["m/one", "m/three", "m/two"]),
        (["--scoped"], ["m/r.io/a/one", "m/r.io/b/three", "m/r.io/b/two"]),
    ],
)
@pytest.mark.parametrize("command", ["copy --all-images", "sync"])
def test_names_keep_their_paths_if_asked(
    tarkit: Tarkit,
    several: str,
    registry: FakeRegistry,
    command: str,
    options: list[str],
    repositories: list[str],
) -> None:
    place = f"docker://{registry.address}/m/"
    assert tarkit(*command.split(), *options, several, place).code == 0
    assert sorted(registry.manifests) == repositories


def test_a_prefix_begins_the_names(tarkit: Tarkit, several: str, tmp_path: Path) -> None:
    out = f"docker-archive:{tmp_path / 'out.tar'}"
    assert tarkit("copy", "--all-images", "--prefix", "mirror.io/x", several, out).code == 0
    assert names_at(tarkit, out) == [
        "mirror.io/x/one:1",
        "mirror.io/x/three:2",
        "mirror.io/x/two:1",
    ]


def test_a_dry_run_has_a_short_name(tarkit: Tarkit, tmp_path: Path) -> None:
    content = Layout()
    stray = content.blob(b"stray", "text/plain")
    where = write_files(tmp_path / "in", content.finish())
    assert tarkit("prune", "-n", where).out == f"{stray['digest']}\n"
    assert tarkit("prune", "--dry-run", where).out == f"{stray['digest']}\n"


def test_referrers_of_one_type(tarkit: Tarkit, tmp_path: Path) -> None:
    content = Layout()
    one = content.image(ONE)
    kind = "example/signature"
    signed = signature(content, one) | {"artifactType": kind}
    files = content.finish(named(one, "app"), list_of(content, one, signed))
    where = f"oci:{write_files(tmp_path / 'in', files)}"
    assert signed["digest"] in tarkit("referrers", "--artifact-type", kind, where).out
    assert tarkit("referrers", f"--artifact-type={kind}x", where).out == ""


def test_the_media_type_of_a_manifest(tarkit: Tarkit, tmp_path: Path) -> None:
    content = Layout()
    files = content.finish(named(content.image(ONE), "one"))
    where = f"oci:{write_files(tmp_path / 'in', files)}"
    document = json.loads(tarkit("manifest", "get", f"{where}:one").out)
    media_type = document.pop("mediaType")
    (tmp_path / "manifest").write_text(json.dumps(document))
    put = ("manifest", "put", "--json", f"{where}:two", tmp_path / "manifest")
    assert tarkit(*put, "--media-type", media_type).document["media_type"] == media_type


def test_a_server_with_a_chosen_port_and_name(several: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--port", str(port), "--host", "127.0.0.1", "--name", "my/app", "--quiet")
    with serving(several, *options) as process:
        assert line_of(process.stdout) == f"127.0.0.1:{port}"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/my/app/tags/list") as answer:
            assert json.load(answer)["name"] == "my/app"


@pytest.mark.parametrize(
    ("side", "shared", "expected"),
    [
        (Side(), Access(creds="a:b", tls_verify=False), Access(creds="a:b", tls_verify=False)),
        (Side(tls_verify=False), Access(), Access(tls_verify=False)),
        (Side(tls_verify=True), Access(tls_verify=False), Access(tls_verify=True)),
        (Side(cert_dir=Path("x")), Access(cert_dir=Path("y")), Access(cert_dir=Path("x"))),
        (Side(creds="c:d"), Access(registry_token="t"), Access(creds="c:d")),
        (Side(registry_token="t"), Access(creds="a:b"), Access(registry_token="t")),
        (Side(no_creds=True), Access(creds="a:b"), Access(no_creds=True)),
        (Side(no_creds=False), Access(creds="a:b"), Access(creds="a:b")),
    ],
)
def test_options_for_one_end_precede_those_for_both(
    side: Side, shared: Access, expected: Access
) -> None:
    assert side.over(shared) == expected


def test_retries_are_counted() -> None:
    assert Access(retry_times=0).anywhere().retry.attempts == 1
    assert Access(retry_times=3).anywhere().retry.attempts == 4
    assert Access().anywhere().retry.attempts == 5
