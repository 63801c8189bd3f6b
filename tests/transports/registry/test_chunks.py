"""Registries that require chunks: behind a proxy with a size limit, or without unsized bodies."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.copying.options import LayerCompression
from tarkit.errors import DigestMismatchError, TransportError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.replay import WINDOW, ReplayBody
from tarkit.transports.registry.upload import CHUNK
from tarkit.transports.registry.writer import RegistryWriter
from tests.builders import noise
from tests.transports.registry.copies import copy
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, digest_of
from tests.transports.registry.images import big_image

DATA = noise(3 << 20)


def reader(data: bytes, *, known: bool) -> VerifyingReader:
    if not known:
        return VerifyingReader(io.BytesIO(data))
    return VerifyingReader(io.BytesIO(data), digest=Descriptor.of(data, "").digest, size=len(data))


def put(writer: RegistryWriter, data: bytes, *, known: bool = True) -> None:
    writer.destination("latest").put_blob(reader(data, known=known), media_types.OCI_LAYER_GZIP)


def at_most(limit: int, *, hang_up: bool = False) -> Callable[[Exchange], None]:
    """A fault: refuse bodies above *limit* bytes, without reading them if *hang_up*."""

    def fault(exchange: Exchange) -> None:
        if int(exchange.headers.get("Content-Length", limit + 1)) <= limit:
            exchange.serve()
            return
        exchange.answer(413, b"<h1>413 Request Entity Too Large</h1>")
        if hang_up:
            exchange.drop()

    return fault


def chunks(registry: FakeRegistry) -> list[int]:
    """Return the sizes of all chunks that were sent, in order."""
    patches = registry.requests("PATCH", "uploads")
    return [
        int(seen.headers["Content-Length"]) for seen in patches if "Content-Range" in seen.headers
    ]


@pytest.mark.parametrize("hang_up", [False, True])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("limit", [100_000, 3_000_000])
def test_blobs_above_the_limit_are_sent_in_chunks(
    registry: FakeRegistry, writer: RegistryWriter, limit: int, known: bool, hang_up: bool
) -> None:
    for method in ("PUT", "PATCH"):
        registry.fail(method, "uploads", at_most(limit, hang_up=hang_up))
    put(writer, DATA, known=known)
    assert registry.blobs["app"] == {digest_of(DATA): DATA}


def test_the_accepted_chunk_size_is_used_for_the_next_blob(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    for method in ("PUT", "PATCH"):
        registry.fail(method, "uploads", at_most(1 << 20))
    put(writer, DATA)
    assert max(chunks(registry)) > 1 << 20  # tried once
    registry.seen.clear()
    put(writer, DATA[1:])
    assert max(chunks(registry)) <= 1 << 20
    assert sum(chunks(registry)) == len(DATA) - 1
    assert len(registry.requests("PUT", "uploads")) == 1


def test_chunks_have_a_content_range(registry: FakeRegistry, writer: RegistryWriter) -> None:
    registry.fail("PUT", "uploads", at_most(0))
    data = noise(CHUNK + 10)
    put(writer, data)
    ranges = [seen.headers["Content-Range"] for seen in registry.requests("PATCH")]
    assert ranges == [f"0-{CHUNK - 1}", f"{CHUNK}-{CHUNK + 9}"]
    assert registry.requests("PUT")[-1].headers["Content-Length"] == "0"


@pytest.mark.parametrize("least", [1 << 20, 5 << 20, 12 << 20])
def test_the_minimum_chunk_length_is_observed(
    registry: FakeRegistry, writer: RegistryWriter, least: int
) -> None:
    registry.least_chunk = least
    registry.fail("PUT", "uploads", at_most(0))
    data = noise(13 << 20)
    put(writer, data[: WINDOW - (2 << 20)])
    registry.seen.clear()
    put(writer, data)
    assert registry.blobs["app"][digest_of(data)] == data
    assert len(chunks(registry)) > 1
    assert min(chunks(registry)[:-1]) >= least


def test_chunks_do_not_shrink_below_the_minimum(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    registry.least_chunk = 1 << 20
    for method in ("PUT", "PATCH"):
        registry.fail(method, "uploads", at_most(1000))
    with pytest.raises(TransportError, match="413"):
        put(writer, DATA)
    assert min(chunks(registry)) >= 1 << 19
    assert registry.blobs == {}


def test_a_registry_that_refuses_every_size_is_an_error(
    registry: FakeRegistry, writer: RegistryWriter
) -> None:
    for method in ("PUT", "PATCH"):
        registry.fail(method, "uploads", lambda exchange: exchange.refuse(413, "SIZE_INVALID"))
    with pytest.raises(TransportError, match="413"):
        put(writer, DATA)
    assert len(registry.requests("PATCH")) < 20


@pytest.mark.parametrize("status", [400, 411, 501])
def test_a_registry_may_require_a_length(
    registry: FakeRegistry, writer: RegistryWriter, status: int
) -> None:
    def want_length(exchange: Exchange) -> None:
        if "Transfer-Encoding" in exchange.headers:
            exchange.refuse(status, "CONTENT_LENGTH_INVALID")
        else:
            exchange.serve()

    registry.fail("PATCH", "uploads", want_length)
    put(writer, DATA, known=False)
    assert registry.blobs["app"] == {digest_of(DATA): DATA}


def test_a_wrong_blob_is_never_sent_whole(registry: FakeRegistry, writer: RegistryWriter) -> None:
    registry.fail("PUT", "uploads", at_most(0))
    put(writer, b"from now on in chunks")
    registry.blobs.clear()
    data = noise(2 * CHUNK)
    wrong = VerifyingReader(io.BytesIO(data), digest=Descriptor.of(b"other", "").digest)
    with pytest.raises(DigestMismatchError):
        writer.destination("t").put_blob(wrong, media_types.OCI_LAYER_GZIP)
    assert registry.blobs == {}
    assert registry.uploads == {}


def test_an_interrupted_chunk_is_sent_again(registry: FakeRegistry, writer: RegistryWriter) -> None:
    registry.fail("PUT", "uploads", at_most(0))
    data = noise(3 * CHUNK)
    put(writer, b"from now on in chunks")
    refused = [False]

    def break_every_other(exchange: Exchange) -> None:
        refused[0] = not refused[0]
        if refused[0]:
            next(exchange.pieces(), None)
            exchange.drop()
        else:
            exchange.serve()

    registry.fail("PATCH", "uploads", break_every_other)
    put(writer, data, known=False)
    assert registry.blobs["app"][digest_of(data)] == data


@pytest.mark.parametrize("compression", [LayerCompression.PRESERVE, LayerCompression.ZSTD])
def test_a_large_image_passes_a_proxy_with_a_limit(
    registry: FakeRegistry,
    options: RegistryOptions,
    tmp_path: Path,
    compression: LayerCompression,
) -> None:
    """The refusal comes after more bytes than are kept, so the copy sends that layer again."""
    layout = big_image(tmp_path / "in", 20 << 20)
    for method in ("PUT", "PATCH"):
        registry.fail(method, "uploads", at_most(1 << 20))
    target = f"docker://{registry.address}/app:v1"
    pushed = copy(f"{layout}:x", target, options, compression=compression)
    pulled = copy(target, f"oci:{tmp_path / 'out'}:x", options)
    assert pulled.descriptor == pushed.descriptor
    assert registry.uploads == {}


@pytest.mark.parametrize("length", [1, 1000, 1 << 20, (4 << 20) + 1, 12 << 20])
def test_pieces_can_be_taken_again(length: int) -> None:
    data = noise(13 << 20)
    body = ReplayBody(reader(data, known=True))
    for position in range(0, len(data), length if length > 1000 else len(data) // 7):
        taken = [b"".join(body.take(position, length)) for _ in range(2)]
        assert taken == [data[position : position + length]] * 2
