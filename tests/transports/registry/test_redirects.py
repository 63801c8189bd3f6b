"""Redirected uploads and manifests (RFC 9110, sections 15.4.8 and 15.4.9)."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tarkit.errors import LostBlobError, TarkitError, TransportError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import RawManifest
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.fake_registry import (
    Exchange,
    FakeRegistry,
    digest_of,
    fake_registry,
)
from tests.transports.registry.token_server import basic

SMALL, LARGE = b"a small blob", bytes(range(256)) * (24 << 10)  # 6 MiB, and kept whole
HUGE = bytes(range(256)) * (48 << 10)  # 12 MiB, more than is kept
MANIFEST = RawManifest.of(b'{"schemaVersion":2,"manifests":[]}', media_types.OCI_INDEX)


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """Another registry, at another port."""
    with fake_registry() as server:
        yield server


def reader(data: bytes, *, known: bool) -> VerifyingReader:
    if not known:
        return VerifyingReader(io.BytesIO(data))
    return VerifyingReader(io.BytesIO(data), digest=Descriptor.of(data, "").digest, size=len(data))


def to(address: str, status: int) -> Callable[[Exchange], None]:
    """A fault: redirect to the same path at *address*."""

    def fault(exchange: Exchange) -> None:
        exchange.answer(status, Location=f"http://{address}{exchange.path}")

    return fault


def put(writer: RegistryWriter, data: bytes, *, known: bool = True) -> None:
    writer.destination("latest").put_blob(reader(data, known=known), media_types.OCI_LAYER_GZIP)


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("known", [True, False])
def test_a_redirected_session_stays_at_its_host(
    registry: FakeRegistry, other: FakeRegistry, writer: RegistryWriter, status: int, known: bool
) -> None:
    """A relative ``Location`` is relative to the URL of the answer."""
    registry.fail("POST", "uploads", to(other.address, status))
    put(writer, LARGE, known=known)
    assert other.blobs["app"] == {digest_of(LARGE): LARGE}
    assert registry.requests("PUT") == registry.requests("PATCH") == []


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("known", [True, False])
def test_a_redirect_of_a_body(
    registry: FakeRegistry,
    other: FakeRegistry,
    writer: RegistryWriter,
    status: int,
    method: str,
    data: bytes,
    known: bool,
) -> None:
    """Both hosts share their storage, as those of one registry do."""
    other.uploads, other.blobs = registry.uploads, registry.blobs
    registry.fail(method, "uploads", to(other.address, status))
    put(writer, data, known=known)
    assert registry.blobs["app"] == {digest_of(data): data}
    assert other.requests(method) or known


def test_a_redirected_put_is_unchanged(
    registry: FakeRegistry, other: FakeRegistry, writer: RegistryWriter
) -> None:
    other.uploads["elsewhere"] = bytearray()

    def fault(exchange: Exchange) -> None:
        query = exchange.path.partition("?")[2]
        target = f"http://{other.address}/v2/app/blobs/uploads/elsewhere?{query}"
        exchange.answer(307, Location=target)

    registry.fail("PUT", "uploads", fault)
    put(writer, SMALL)
    assert other.blobs["app"] == {digest_of(SMALL): SMALL}


@pytest.mark.parametrize("known", [True, False])
def test_a_body_that_is_no_longer_kept_is_sent_again_in_chunks(
    registry: FakeRegistry, other: FakeRegistry, writer: RegistryWriter, known: bool
) -> None:
    other.uploads, other.blobs = registry.uploads, registry.blobs
    for method in ("PUT", "PATCH"):
        registry.fail(method, "uploads", to(other.address, 307))
    with pytest.raises(LostBlobError):
        put(writer, HUGE, known=known)
    put(writer, HUGE, known=known)
    assert registry.blobs["app"] == {digest_of(HUGE): HUGE}
    assert registry.uploads == {}


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirect_of_a_manifest(
    registry: FakeRegistry, other: FakeRegistry, writer: RegistryWriter, status: int
) -> None:
    registry.fail("PUT", "manifests", to(other.address, status))
    destination = writer.destination("latest")
    destination.put_manifest(MANIFEST)
    assert destination.commit() == MANIFEST.descriptor
    assert other.manifests["app"]["latest"] == (MANIFEST.media_type, MANIFEST.data)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_become_a_get_is_an_error(
    registry: FakeRegistry, other: FakeRegistry, writer: RegistryWriter, status: int
) -> None:
    registry.fail("POST", "uploads", to(other.address, status))
    with pytest.raises(TransportError, match=f"answered {status}"):
        put(writer, SMALL)
    assert other.seen == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("known", [True, False])
def test_a_redirect_loop_is_an_error(
    registry: FakeRegistry, writer: RegistryWriter, method: str, known: bool
) -> None:
    registry.fail(method, "uploads", to(registry.address, 307))
    if (method, known) == ("PATCH", True):
        put(writer, SMALL, known=known)  # which takes none
        return
    with pytest.raises(TransportError, match="redirected more than 5 times"):
        put(writer, LARGE, known=known)
    assert len(registry.requests(method)) <= 12
    assert registry.blobs == {}


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "//", "http://127.0.0.1:1/x"])
def test_a_redirect_to_a_bad_url_is_an_error(
    registry: FakeRegistry, writer: RegistryWriter, target: str
) -> None:
    registry.fail("POST", "uploads", lambda exchange: exchange.answer(307, Location=target))
    with pytest.raises(TarkitError):
        put(writer, SMALL)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_credentials_are_not_sent_to_another_host(
    registry: FakeRegistry, other: FakeRegistry, options: RegistryOptions, method: str
) -> None:
    registry.authorize = basic("me", "secret")
    other.uploads, other.blobs = registry.uploads, registry.blobs
    registry.fail(method, "uploads", to(other.address, 307))
    registry.fail("PUT", "manifests", to(other.address, 307))
    me = replace(options, credentials=Credentials("me", "secret"))
    with RegistryWriter.open(f"{registry.address}/app", me) as writer:
        put(writer, SMALL)
        destination = writer.destination("latest")
        destination.put_manifest(MANIFEST)
        destination.commit()
    assert len(other.seen) >= 2
    assert not any("Authorization" in seen.headers for seen in other.seen)
    assert "latest" in other.manifests["app"]


def test_credentials_are_sent_to_the_same_host(
    registry: FakeRegistry, options: RegistryOptions
) -> None:
    registry.authorize = basic("me", "secret")
    registry.fail_once("POST", "uploads", to(registry.address, 308))
    me = replace(options, credentials=Credentials("me", "secret"))
    with RegistryWriter.open(f"{registry.address}/app", me) as writer:
        put(writer, SMALL)
    assert registry.blobs["app"] == {digest_of(SMALL): SMALL}
