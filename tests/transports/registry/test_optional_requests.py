"""Requests that only save work: no answer to them makes a copy fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.copying.options import LayerCompression
from tarkit.errors import AuthenticationError, BlobNotFoundError, TransportError
from tarkit.image.platform import Platform
from tarkit.transports.registry.options import RegistryOptions
from tarkit.verifying.runner import verify
from tests.builders import Doc, Files, Layout, make_image, on, read_files
from tests.transports.registry.copies import add_layout, copy
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, digest_of

OPTIONAL = {
    "HEAD of a manifest": ("HEAD", "/manifests/"),
    "HEAD of a blob": ("HEAD", "/blobs/"),
    "a mount": ("POST", "mount="),
    "the image that has the tag": ("GET", "/v2/dst/manifests/"),
    "the config of that image": ("GET", "/v2/dst/blobs/sha256:"),
    "the state of an upload": ("GET", "/blobs/uploads/"),
}
STATUSES = [204, 307, 401, 403, 404, 405, 429, 503]


def answer_with(how: int | str) -> Callable[[Exchange], None]:
    """A fault: that status, with an excessive ``Retry-After``; a broken connection; or nonsense."""

    def fault(exchange: Exchange) -> None:
        if how == "reset":
            exchange.drop()
        elif how == "nonsense":
            exchange.close_connection = True
            exchange.wfile.write(b"HTTP/9.9 nonsense\r\n\r\n")
        elif isinstance(how, int):
            exchange.refuse(how, "UNSUPPORTED", **{"Retry-After": "1000"})

    return fault


def break_off(exchange: Exchange) -> None:
    """A fault: half of a body is read, and the connection breaks."""
    next(exchange.pieces(), None)
    exchange.drop()


@pytest.fixture
def index(registry: FakeRegistry) -> tuple[Files, Doc]:
    """An index of two platforms and an attestation at ``src:v1``; an older image at ``dst:v1``."""
    layout = Layout()
    images = [
        on(layout.image(make_image("shared", arch, architecture=arch)), f"linux/{arch}")
        for arch in ("amd64", "arm64")
    ]
    statement = make_image("statement", architecture="unknown", os="unknown")
    attestation = layout.image(statement, layer_type="application/vnd.in-toto+json")
    marks = {"vnd.docker.reference.type": "attestation-manifest"}
    top = layout.index(*images, on(attestation, "unknown/unknown") | {"annotations": marks})
    older = Layout()
    add_layout(registry, "dst", "v1", older.files, older.image(make_image("shared", "older")))
    add_layout(registry, "src", "v1", layout.files, top)
    return layout.files, top


def pairs() -> list[tuple[str, int | str]]:
    """Every answer to one kind of request, and one of each class to the others.

    The client treats all answers to optional requests in one place (``try_send``).
    """
    kinds = list(OPTIONAL)
    every: list[int | str] = [*STATUSES, 400, 416, 500, "reset", "nonsense"]
    classes: list[int | str] = [401, "reset"]
    spread = [(kinds[at % len(kinds)], how) for at, how in enumerate(every)]
    return [*spread, *((kind, how) for kind in kinds for how in classes)]


@pytest.mark.parametrize(("kind", "how"), dict.fromkeys(pairs()))
def test_no_answer_to_an_optional_request_fails_a_copy(
    registry: FakeRegistry,
    options: RegistryOptions,
    index: tuple[Files, Doc],
    tmp_path: Path,
    kind: str,
    how: int | str,
) -> None:
    registry.mounts = False
    registry.fail_once("PUT", "uploads", break_off)
    registry.fail(*OPTIONAL[kind], answer_with(how))
    source, target = (f"docker://{registry.address}/{repo}:v1" for repo in ("src", "dst"))
    _, top = index
    assert str(copy(source, target, options, all=True).descriptor.digest) == top["digest"]
    assert registry.requests(*OPTIONAL[kind])
    registry.faults.clear()
    pulled = copy(target, f"oci:{tmp_path / 'out'}:x", options, all=True)
    assert str(pulled.descriptor.digest) == top["digest"]


@pytest.mark.parametrize("how", [401, 404, "reset"])
def test_a_platform_is_found_without_head(
    registry: FakeRegistry,
    options: RegistryOptions,
    index: tuple[Files, Doc],
    tmp_path: Path,
    how: int | str,
) -> None:
    registry.fail("HEAD", "", answer_with(how))
    source = f"docker://{registry.address}/src:v1"
    copy(source, f"oci:{tmp_path}/out:x", options, platforms=(Platform.parse("linux/arm64"),))
    config = make_image("shared", "arm64", architecture="arm64").digest
    assert f"blobs/sha256/{config[7:]}" in read_files(tmp_path / "out")
    assert verify(source, registry=options).ok


HEADERS: dict[str, dict[str, str]] = {
    "no digest": {"Content-Type": "application/vnd.oci.image.manifest.v1+json"},
    "a wrong digest": {"Docker-Content-Digest": digest_of(b"something else")},
    "an empty digest": {"Docker-Content-Digest": ""},
    "a malformed digest": {"Docker-Content-Digest": "sha256:nonsense"},
    "an unknown algorithm": {"Docker-Content-Digest": "md5:d41d8cd98f00b204e9800998ecf8427e"},
    "no size": {"Content-Length": "nonsense"},
    "a wrong size": {"Content-Length": "7"},
    "size 0": {"Content-Length": "0"},
    "another type": {"Content-Type": "text/html"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_no_header_of_a_head_fails_a_copy(
    registry: FakeRegistry,
    options: RegistryOptions,
    index: tuple[Files, Doc],
    tmp_path: Path,
    headers: dict[str, str],
) -> None:
    registry.fail("HEAD", "", lambda exchange: exchange.answer(200, b"", **headers))
    source, target = (f"docker://{registry.address}/{repo}:v1" for repo in ("src", "new"))
    _, top = index
    if "Content-Length" in headers:  # otherwise the answer claims that the registry has every blob
        assert str(copy(source, target, options, all=True).descriptor.digest) == top["digest"]
    pulled = copy(source, f"oci:{tmp_path / 'out'}:x", options, all=True)
    assert str(pulled.descriptor.digest) == top["digest"]


@pytest.mark.parametrize("how", [401, 404, 500, "reset"])
def test_only_a_get_decides_that_a_manifest_is_absent(
    registry: FakeRegistry,
    options: RegistryOptions,
    index: tuple[Files, Doc],
    tmp_path: Path,
    how: int | str,
) -> None:
    _, top = index
    registry.fail("HEAD", "", answer_with(how))
    missing = next(name for name in registry.manifests["src"] if name not in ("v1", top["digest"]))
    del registry.manifests["src"][missing]
    with pytest.raises(BlobNotFoundError, match="1 of 3 manifests of the index are missing"):
        copy(f"docker://{registry.address}/src:v1", f"oci:{tmp_path / 'out'}:x", options, all=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("status", "kind"), [(403, AuthenticationError), (500, TransportError)])
def test_a_failed_get_does_not_count_as_absence(
    registry: FakeRegistry,
    options: RegistryOptions,
    index: tuple[Files, Doc],
    tmp_path: Path,
    status: int,
    kind: type[Exception],
) -> None:
    registry.fail("HEAD", "", answer_with(404))
    registry.fail("GET", "/manifests/sha256:", lambda exchange: exchange.refuse(status, "X"))
    with pytest.raises(kind):
        copy(f"docker://{registry.address}/src:v1", f"oci:{tmp_path / 'out'}:x", options, all=True)


def test_an_optional_request_is_made_once(
    registry: FakeRegistry, options: RegistryOptions, index: tuple[Files, Doc]
) -> None:
    registry.fail("HEAD", "", answer_with(503))
    source = f"docker://{registry.address}/src:v1"
    copy(source, f"docker://{registry.address}/dst:v1", options)
    asked = [seen.path for seen in registry.requests("HEAD", "/v2/dst/")]
    assert len(asked) == len(set(asked)) > 0


def test_a_blob_of_unknown_presence_is_sent(
    registry: FakeRegistry, options: RegistryOptions, index: tuple[Files, Doc], tmp_path: Path
) -> None:
    source = f"docker://{registry.address}/src:v1"
    copy(source, f"oci:{tmp_path / 'in'}:x", options, all=True)
    blobs = [name for name in read_files(tmp_path / "in") if name.startswith("blobs/")]
    add_layout(registry, "dst", "v1", *index)
    registry.fail("HEAD", "", answer_with(403))
    again = copy(
        f"oci:{tmp_path / 'in'}:x", f"docker://{registry.address}/dst:v1", options, all=True
    )
    assert again.reused == 0
    assert again.copied == len(blobs) - 4  # the index and its manifests


def test_recompressed_layers_are_sent_if_nothing_is_known(
    registry: FakeRegistry, options: RegistryOptions, index: tuple[Files, Doc]
) -> None:
    source, target = (f"docker://{registry.address}/{repo}:v1" for repo in ("src", "dst"))
    registry.fail("GET", "/v2/dst/", answer_with(500))
    assert copy(source, target, options, compression=LayerCompression.ZSTD).recompressed == 2
