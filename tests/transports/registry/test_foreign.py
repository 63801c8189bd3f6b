"""Foreign layers are fetched from their URLs without the registry's credentials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import (
    AuthenticationError,
    BlobNotFoundError,
    SizeMismatchError,
    UnsupportedError,
)
from tarkit.image import media_types as mt
from tarkit.image.descriptor import Descriptor
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.foreign import fetch_layer
from tarkit.transports.registry.options import RegistryOptions
from tests.builders import Layout, make_image, named, sha256, squeeze, write_files
from tests.transports.registry.conftest import HASTY
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, fake_registry
from tests.transports.registry.test_command_line import tarkit

ONE = make_image("base", "own")
DATA = squeeze(ONE.layers[0])


@pytest.fixture
def host() -> Iterator[FakeRegistry]:
    """A host that has the layer at ``/layer`` only."""

    def serve(exchange: Exchange) -> bool:
        if exchange.path.partition("?")[0] != "/layer":
            return False
        exchange.answer(200, DATA)
        return True

    with fake_registry() as server:
        server.faults.append(serve)
        yield server


def layer(*urls: str, size: int = len(DATA)) -> Descriptor:
    descriptor = Descriptor.of(DATA, mt.DOCKER_FOREIGN_LAYER + ".gzip")
    return Descriptor(descriptor.media_type, descriptor.digest, size, urls=urls)


def fetched(*urls: str, options: RegistryOptions) -> bytes:
    with fetch_layer(layer(*urls), options) as stream:
        return stream.read()


def test_the_first_url_that_works_is_used(host: FakeRegistry, options: RegistryOptions) -> None:
    urls = (
        "ftp://example.org/layer",
        f"http://{host.address}/none",
        f"http://{host.address}/layer?a=b",
    )
    assert fetched(*urls, options=options) == DATA
    assert [seen.path for seen in host.seen] == ["/none", "/layer?a=b"]


def test_no_credentials_go_to_the_hosts_of_urls(host: FakeRegistry) -> None:
    options = RegistryOptions(credentials=Credentials("user", "secret"), retry=HASTY)
    assert fetched(f"http://{host.address}/layer", options=options) == DATA
    assert all("Authorization" not in seen.headers for seen in host.seen)


def test_a_host_that_wants_credentials_gets_none(host: FakeRegistry) -> None:
    def demand(exchange: Exchange) -> bool:
        exchange.answer(401, b"", **{"WWW-Authenticate": 'Basic realm="x"'})
        return True

    host.faults.insert(0, demand)
    options = RegistryOptions(credentials=Credentials("user", "secret"), retry=HASTY)
    with pytest.raises(AuthenticationError, match="are not sent to the hosts"):
        fetched(f"http://{host.address}/layer", options=options)
    assert all("Authorization" not in seen.headers for seen in host.seen)


def test_a_broken_connection_is_resumed(host: FakeRegistry, options: RegistryOptions) -> None:
    def break_once(exchange: Exchange) -> bool:
        if len(host.seen) > 1:
            return False
        exchange.drop()
        return True

    host.faults.insert(0, break_once)
    assert fetched(f"http://{host.address}/layer", options=options) == DATA


def test_a_layer_that_no_url_has(host: FakeRegistry, options: RegistryOptions) -> None:
    with pytest.raises(BlobNotFoundError):
        fetched(f"http://{host.address}/none", options=options)
    with pytest.raises(BlobNotFoundError, match="no URL"):
        fetched(options=options)
    with pytest.raises(SizeMismatchError):
        fetch_layer(layer(f"http://{host.address}/layer", size=3), options)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/layer",
        "",
        "https://",
        "http://user:secret@example.org/layer",
        "http://[::1/layer",
        "gopher://example.org/",
        "http://example.org:99999/layer",
    ],
)
def test_unsupported_urls(url: str, options: RegistryOptions) -> None:
    with pytest.raises(UnsupportedError) as caught:
        fetched(url, options=options)
    assert "secret" not in str(caught.value)


def test_on_the_command_line(
    host: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout()
    fields = {
        "mediaType": mt.DOCKER_FOREIGN_LAYER + ".gzip",
        "urls": [f"http://{host.address}/layer"],
    }
    entry = layout.image(ONE, docker=True, layer_fields=[fields])
    del layout.files[f"blobs/sha256/{sha256(DATA)[7:]}"]
    source = f"oci:{write_files(tmp_path / 'in', layout.finish(named(entry, 'x')))}:x"
    code, _, err = tarkit(capsys, "copy", source, f"oci:{tmp_path / 'out'}:y")
    assert code == 0
    assert "--fetch-foreign" in err
    assert sha256(DATA) in err
    assert host.seen == [], "nothing is fetched unless that is asked for"
    code, _, err = tarkit(capsys, "ls", f"oci:{tmp_path / 'out'}:y")
    assert code == 6
    assert err.count("\n") == 1
    assert sha256(DATA) in err
    code, _, err = tarkit(capsys, "copy", source, f"oci:{tmp_path / 'whole'}:y", "--fetch-foreign")
    assert code == 0
    assert "--fetch-foreign" not in err
    assert tarkit(capsys, "ls", f"oci:{tmp_path / 'whole'}:y")[0] == 0


def test_a_registry_without_the_layer(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout()
    fields = {"mediaType": mt.OCI_FOREIGN_LAYER + "+gzip", "urls": ["https://mcr.example/layer"]}
    entry = layout.image(ONE, layer_fields=[fields])
    missing = sha256(DATA)
    for name, data in layout.files.items():
        if name != f"blobs/sha256/{missing[7:]}":
            registry.add_blob("app", data)
    manifest = layout.files[f"blobs/sha256/{entry['digest'][7:]}"]
    registry.add_manifest("app", "latest", manifest, mt.OCI_MANIFEST)
    source = f"docker://{registry.address}/app"
    assert tarkit(capsys, "copy", source, f"docker://{registry.address}/other")[0] == 0
    assert registry.manifests["other"]["latest"][1] == manifest
    assert missing not in registry.blobs["other"]
    code, _, err = tarkit(capsys, "ls", source)
    assert code == 6
    assert missing in err
