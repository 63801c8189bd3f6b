"""Read from a registry, including faulty ones."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    ImageNotFoundError,
    LimitExceededError,
    MalformedError,
    SizeMismatchError,
    TransportError,
    UsageError,
)
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.protocols import Reader, Source, SparseSource
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.registry.reader import RegistryReader
from tarkit.transports.registry.source import RegistrySource
from tests.transports.registry.conftest import add_image
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, digest_of

BIG = bytes(range(256)) * (3 << 12)  # 3 MiB


def pulled(source: RegistrySource, layer: Descriptor) -> bytes:
    with VerifyingReader(source.open_blob(layer), digest=layer.digest, size=layer.size) as blob:
        return blob.read()


def cut_at(position: int) -> Callable[[Exchange], None]:
    """A fault: the connection breaks at byte *position* of the body."""

    def fault(exchange: Exchange) -> None:
        data = exchange.registry.blobs["app"][exchange.path.rpartition("/")[2]]
        start = int(exchange.headers.get("Range", "bytes=0-")[6:-1])
        exchange.send_response(206 if start else 200)
        if start:
            exchange.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        exchange.send_header("Content-Length", str(len(data) - start))
        exchange.end_headers()
        exchange.wfile.write(data[start:position])
        exchange.drop()

    return fault


def ignore(_: object) -> None:
    """For a fault that only waits."""


def test_an_image_by_its_tag(registry: FakeRegistry, open_source: RegistrySource) -> None:
    image = add_image(registry, "app", b"layer one", BIG)
    raw = open_source.manifest()
    assert raw.data == image.manifest
    assert raw.media_type == media_types.OCI_MANIFEST
    assert [pulled(open_source, layer) for layer in image.layers] == [b"layer one", BIG]
    accepted = registry.requests("GET", "manifests")[0].headers["Accept"]
    assert all(kind in accepted for kind in media_types.MANIFESTS | media_types.INDEXES)


def test_it_is_a_source_and_a_reader(open_source: RegistrySource, options: RegistryOptions) -> None:
    source: Source = open_source
    reader: Reader = RegistryReader.open("r.example/app", options)
    assert isinstance(open_source, SparseSource)
    assert source.names
    assert reader.where == "r.example/app"


def test_a_tag_is_resolved_once(registry: FakeRegistry, open_source: RegistrySource) -> None:
    first = add_image(registry, "app", b"first")
    raw = open_source.manifest()
    add_image(registry, "app", b"second")
    assert open_source.manifest() == raw
    assert open_source.manifest(raw.digest).data == first.manifest
    assert len(registry.requests("GET", "manifests")) == 1


def test_names_of_images(registry: FakeRegistry, options: RegistryOptions) -> None:
    image = add_image(registry, "team/app", b"layer")
    digest = digest_of(image.manifest)
    name = f"{registry.address}/team/app"
    with RegistryReader.open(name, options) as reader:
        for written in (None, "latest", digest, f"latest@{digest}", f"{name}:latest", name):
            assert reader.source(written).manifest().data == image.manifest
        assert reader.source(index=0).manifest().data == image.manifest
        with pytest.raises(ImageNotFoundError, match="@5: there is one image"):
            reader.source(index=5)
        with pytest.raises(ImageNotFoundError):
            reader.source(index=-1)
        with pytest.raises(UsageError, match="is not an image of"):
            reader.source("other.example/app:latest")
        with pytest.raises(ImageNotFoundError, match="absent"):
            reader.source("absent").manifest()


def test_opening_sends_no_request(registry: FakeRegistry) -> None:
    with RegistryReader.open(f"{registry.address}/app") as reader:
        reader.source("latest")
    assert registry.seen == []


def test_missing_things(registry: FakeRegistry, open_source: RegistrySource) -> None:
    absent = Descriptor.of(b"never pushed", media_types.OCI_LAYER)
    with pytest.raises(BlobNotFoundError):
        open_source.open_blob(absent)
    with pytest.raises(BlobNotFoundError):
        open_source.manifest(absent.digest)
    assert not open_source.holds(absent)
    assert not open_source.holds(replace(absent, media_type=media_types.OCI_MANIFEST))


def test_holds(registry: FakeRegistry, open_source: RegistrySource) -> None:
    image = add_image(registry, "app", b"layer")
    assert open_source.holds(image.layers[0])
    assert open_source.holds(open_source.manifest().descriptor)


def test_tags_are_paginated(registry: FakeRegistry, options: RegistryOptions) -> None:
    registry.page = 2
    for number in range(5):
        registry.add_manifest("app", f"v{number}", b"{}", media_types.OCI_MANIFEST)
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        names = [image.names[0].rpartition(":")[2] for image in reader.images()]
    assert names == ["v0", "v1", "v2", "v3", "v4"]
    assert len(registry.requests("GET", "tags/list")) == 3


@pytest.mark.parametrize("link", ['</v2/app/tags/list?n=1>; rel="next"', "nonsense"])
def test_links_without_a_next_page(
    registry: FakeRegistry, options: RegistryOptions, link: str
) -> None:
    page = json.dumps({"tags": ["a", "b"]}).encode()
    registry.fail("GET", "tags/list", lambda exchange: exchange.answer(200, page, Link=link))
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        assert len(reader.images()) == 2


def test_an_unknown_repository(registry: FakeRegistry, options: RegistryOptions) -> None:
    with (
        RegistryReader.open(f"{registry.address}/app", options) as reader,
        pytest.raises(ImageNotFoundError, match="NAME_UNKNOWN"),
    ):
        reader.images()


def test_a_broken_download_is_resumed(registry: FakeRegistry, open_source: RegistrySource) -> None:
    layer = add_image(registry, "app", BIG).layers[0]
    for position in (1 << 20, 2 << 20):
        registry.fail_once("GET", str(layer.digest), cut_at(position))
    assert pulled(open_source, layer) == BIG
    ranges = [seen.headers.get("Range") for seen in registry.requests("GET", str(layer.digest))]
    assert ranges[0] is None
    assert all(text and int(text[6:-1]) > 0 for text in ranges[1:])
    assert len(ranges) == 3


def test_a_registry_without_ranges_sends_the_whole_blob(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    registry.honours_ranges = False
    layer = add_image(registry, "app", BIG).layers[0]
    registry.fail_once("GET", str(layer.digest), cut_at(2 << 20))
    assert pulled(open_source, layer) == BIG


def refuse_range(how: int | str) -> Callable[[Exchange], None]:
    """A fault: ranges are refused, or the wrong bytes are sent."""

    def fault(exchange: Exchange) -> None:
        if "Range" not in exchange.headers:
            exchange.serve()
        elif how == "reset":
            exchange.drop()
        elif isinstance(how, str):
            exchange.answer(206, BIG, **{"Content-Range": how})
        else:
            exchange.refuse(how, "UNSUPPORTED")

    return fault


@pytest.mark.parametrize(
    "how",
    [400, 401, 403, 404, 405, 416, 429, 500, 501, 503, "reset", "", "nonsense",
     "bytes 0-3145727/3145728", "bytes 7-3145727/3145728"],
)  # fmt: skip
def test_wrong_ranges_are_replaced_by_the_whole_blob(
    registry: FakeRegistry, open_source: RegistrySource, how: int | str
) -> None:
    layer = add_image(registry, "app", BIG).layers[0]
    for position in (1 << 20, 2 << 20):
        registry.fail_once("GET", str(layer.digest), cut_at(position))
    registry.fail("GET", str(layer.digest), refuse_range(how))
    assert pulled(open_source, layer) == BIG


def test_an_unrequested_range_is_an_error(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    layer = add_image(registry, "app", BIG).layers[0]
    part = {"Content-Range": f"bytes 7-{len(BIG) - 1}/{len(BIG)}"}
    registry.fail("GET", str(layer.digest), lambda exchange: exchange.answer(206, BIG[7:], **part))
    with pytest.raises(TransportError, match="only a part"):
        pulled(open_source, layer)


def test_the_number_of_reconnections_is_limited(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    layer = add_image(registry, "app", BIG).layers[0]
    registry.fail("GET", str(layer.digest), cut_at(1000))
    with pytest.raises(TransportError, match=r"broke 4 times at byte 1000 of 3145728"):
        pulled(open_source, layer)


def test_a_stalled_download_is_resumed(registry: FakeRegistry, open_source: RegistrySource) -> None:
    layer = add_image(registry, "app", BIG).layers[0]
    woken = threading.Event()

    def stall(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(BIG)))
        exchange.end_headers()
        exchange.wfile.write(BIG[: 1 << 20])
        woken.wait(10)
        exchange.drop()

    registry.fail_once("GET", str(layer.digest), stall)
    try:
        assert pulled(open_source, layer) == BIG
    finally:
        woken.set()


def test_a_download_that_is_too_slow_is_an_error(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    layer = add_image(registry, "app", BIG).layers[0]
    woken = threading.Event()

    def trickle(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(BIG)))
        exchange.end_headers()
        while not woken.wait(0.05):
            exchange.wfile.write(b"x")

    registry.fail("GET", str(layer.digest), trickle)
    try:
        with pytest.raises(TransportError, match="too slow"):
            pulled(open_source, layer)
    finally:
        woken.set()


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_wrong_content_length_is_an_error(
    registry: FakeRegistry, open_source: RegistrySource, difference: int
) -> None:
    layer = add_image(registry, "app", b"twelve bytes").layers[0]

    def lie(exchange: Exchange) -> None:
        exchange.answer(200, b"twelve bytes", **{"Content-Length": str(12 + difference)})
        exchange.drop()

    registry.fail("GET", str(layer.digest), lie)
    with pytest.raises(SizeMismatchError):
        open_source.open_blob(layer)


def test_a_blob_without_a_length_is_verified(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    layer = add_image(registry, "app", b"twelve bytes").layers[0]

    def endless(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Connection", "close")
        exchange.end_headers()
        exchange.wfile.write(b"twelve bytes and more")
        exchange.drop()

    registry.fail("GET", str(layer.digest), endless)
    with pytest.raises(SizeMismatchError):
        pulled(open_source, layer)


def test_a_wrong_blob_is_caught_by_its_digest(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    layer = add_image(registry, "app", b"twelve bytes").layers[0]
    registry.fail("GET", str(layer.digest), lambda exchange: exchange.answer(200, b"TWELVE bytes"))
    with pytest.raises(DigestMismatchError):
        pulled(open_source, layer)


def test_a_manifest_with_a_wrong_digest(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    add_image(registry, "app", b"layer")
    kind = {"Content-Type": media_types.OCI_MANIFEST}
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(200, b"{}", **kind))
    with pytest.raises(DigestMismatchError):
        open_source.manifest(Digest.of(b"something else"))


def test_a_tag_with_a_wrong_declared_digest(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    headers = {
        "Content-Type": media_types.OCI_MANIFEST,
        "Docker-Content-Digest": digest_of(b"something else"),
    }
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(200, b"{}", **headers))
    with pytest.raises(DigestMismatchError):
        open_source.manifest()


def test_a_manifest_larger_than_the_limit(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(200, b" " * (5 << 20)))
    with pytest.raises(LimitExceededError):
        open_source.manifest()


def test_an_html_page_is_not_a_manifest(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    page = {"Content-Type": "text/html"}
    registry.fail(
        "GET", "manifests", lambda exchange: exchange.answer(200, b"<html>Log in", **page)
    )
    with pytest.raises(MalformedError, match="not JSON"):
        open_source.manifest()


def test_the_type_of_a_manifest_is_guessed_from_its_fields(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    image = add_image(registry, "app", b"layer")
    registry.fail("GET", "manifests", lambda exchange: exchange.answer(200, image.manifest))
    assert open_source.manifest().media_type == media_types.OCI_MANIFEST


def test_several_threads_pull_from_one_source(
    registry: FakeRegistry, open_source: RegistrySource
) -> None:
    layers = [bytes([n]) * (1 << 20) for n in range(8)]
    image = add_image(registry, "app", *layers)
    results: dict[int, bytes] = {}

    def pull(number: int) -> None:
        results[number] = pulled(open_source, image.layers[number])

    threads = [threading.Thread(target=pull, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[n] for n in range(8)] == layers


def test_a_silent_registry_times_out(registry: FakeRegistry, open_source: RegistrySource) -> None:
    woken = threading.Event()
    registry.fail("GET", "manifests", lambda exchange: ignore(woken.wait(10)))
    began = time.monotonic()
    try:
        with pytest.raises(TransportError, match="no answer in time"):
            open_source.manifest()
    finally:
        woken.set()
    assert time.monotonic() - began < 8


@pytest.mark.parametrize(
    "declared",
    ["binary/octet-stream", "application/x-json", "application/json; charset=utf-8", "text/html", "",
     "application/vnd.oci.image.config.v1+json", "nonsense"],
)  # fmt: skip
def test_an_unknown_content_type_is_ignored(
    registry: FakeRegistry, options: RegistryOptions, declared: str
) -> None:
    image = add_image(registry)
    registry.add_manifest("app", "latest", image.manifest, declared)
    with RegistryReader.open(f"{registry.address}/app", options) as reader:
        assert reader.source().manifest().media_type == media_types.OCI_MANIFEST
